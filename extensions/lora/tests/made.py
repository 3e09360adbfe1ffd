"""LoRA files with random numbers, in every dialect, for the tiny model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

LINEAR = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "up_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
DOWN = "down_blocks.0.downsamplers.0.conv"
NORM = "up_blocks.0.resnets.0.norm1"
TEXT = "encoder.layers.1.self_attn.q_proj"
RANK = 3


def noise(*shape: int, size: float = 0.2) -> Tensor:
    """Random numbers, others at each call, the same at each run (the tests set the seed)."""
    return torch.randn(*shape) * size


def shape_of(parts: Any, path: str, part: str = "unet") -> tuple[int, ...]:
    return tuple(getattr(parts, part).get_submodule(path).weight.shape)


def kohya(parts: Any, paths: Mapping[str, str], alpha: float | None = 1.5) -> dict[str, Tensor]:
    """LoRA (and LoCon for convolutions) as kohya's trainer writes it; `paths` maps to the part."""
    found: dict[str, Tensor] = {}
    for path, part in paths.items():
        out, into, *kernel = shape_of(parts, path, part)
        prefix = "lora_unet_" if part == "unet" else "lora_te_text_model_"
        stem = prefix + path.replace(".", "_")
        found[f"{stem}.lora_down.weight"] = noise(RANK, into, *kernel)
        found[f"{stem}.lora_up.weight"] = noise(out, RANK, *[1 for _ in kernel])
        if alpha is not None:
            found[f"{stem}.alpha"] = torch.tensor(alpha)
    return found


def tucker(parts: Any, path: str) -> dict[str, Tensor]:
    """LoCon with a middle tensor."""
    out, into, high, wide = shape_of(parts, path)
    stem = "lora_unet_" + path.replace(".", "_")
    return {
        f"{stem}.lora_down.weight": noise(RANK, into, 1, 1),
        f"{stem}.lora_mid.weight": noise(RANK, RANK, high, wide),
        f"{stem}.lora_up.weight": noise(out, RANK, 1, 1),
        f"{stem}.alpha": torch.tensor(1.0),
    }


def loha(parts: Any, path: str, *, tucker: bool = False) -> dict[str, Tensor]:
    out, *rest = shape_of(parts, path)
    flat = int(torch.tensor(rest).prod())
    stem = "lora_unet_" + path.replace(".", "_")
    found: dict[str, Tensor] = {f"{stem}.alpha": torch.tensor(2.0)}
    for number in (1, 2):
        if tucker:
            found[f"{stem}.hada_t{number}"] = noise(RANK, RANK, *rest[1:], size=0.5)
            found[f"{stem}.hada_w{number}_a"] = noise(RANK, out, size=0.5)
            found[f"{stem}.hada_w{number}_b"] = noise(RANK, rest[0], size=0.5)
        else:
            found[f"{stem}.hada_w{number}_a"] = noise(out, RANK, size=0.5)
            found[f"{stem}.hada_w{number}_b"] = noise(RANK, flat, size=0.5)
    return found


def lokr(parts: Any, path: str, *, whole: bool = False) -> dict[str, Tensor]:
    out, into, *kernel = shape_of(parts, path)
    stem = "lora_unet_" + path.replace(".", "_")
    found = {f"{stem}.lokr_w1": noise(4, 4), f"{stem}.alpha": torch.tensor(1.0)}
    if whole:
        return found | {f"{stem}.lokr_w2": noise(out // 4, into // 4, *kernel)}
    flat = into // 4 * int(torch.tensor([1, *kernel]).prod())
    return found | {
        f"{stem}.lokr_w2_a": noise(out // 4, RANK),
        f"{stem}.lokr_w2_b": noise(RANK, flat),
    }


def peft(parts: Any, path: str, *, dora: bool = False) -> dict[str, Tensor]:
    out, into = shape_of(parts, path)
    found = {
        f"unet.{path}.lora_A.weight": noise(RANK, into),
        f"unet.{path}.lora_B.weight": noise(out, RANK),
    }
    if dora:
        found[f"unet.{path}.lora_magnitude_vector"] = noise(out).abs() + 0.5
    return found


def old_diffusers(parts: Any, path: str) -> dict[str, Tensor]:
    out, into = shape_of(parts, path)
    head, _, last = path.rpartition(".attn")
    attention, _, projection = last.partition(".")
    stem = f"unet.{head}.attn{attention}.processor.{projection.removesuffix('.0')}_lora"
    return {f"{stem}.down.weight": noise(RANK, into), f"{stem}.up.weight": noise(out, RANK)}


def lycoris_dora(parts: Any, path: str, *, by_input: bool) -> dict[str, Tensor]:
    out, into, *kernel = shape_of(parts, path)
    stem = "lora_unet_" + path.replace(".", "_")
    side = (1, into) if by_input else (out, 1)
    return kohya(parts, {path: "unet"}) | {
        f"{stem}.dora_scale": noise(*side, *[1 for _ in kernel]).abs() + 0.5
    }


def full(parts: Any, path: str) -> dict[str, Tensor]:
    stem = "lora_unet_" + path.replace(".", "_")
    shape = shape_of(parts, path)
    return {f"{stem}.diff": noise(*shape, size=0.05), f"{stem}.diff_b": noise(shape[0], size=0.05)}


def norm(parts: Any, path: str) -> dict[str, Tensor]:
    stem = "lora_unet_" + path.replace(".", "_")
    shape = shape_of(parts, path)
    return {f"{stem}.w_norm": noise(*shape), f"{stem}.b_norm": noise(*shape)}


def every_dialect(parts: Any) -> dict[str, dict[str, Tensor]]:
    """Name of the dialect → tensors."""
    torch.manual_seed(3)
    return {
        "kohya": kohya(parts, {LINEAR: "unet", QUERY: "unet", OUT: "unet"}),
        "kohya without alpha": kohya(parts, {LINEAR: "unet"}, alpha=None),
        "text encoder": kohya(parts, {TEXT: "text_encoder"}),
        "locon": kohya(parts, {CONV: "unet", DOWN: "unet"}),
        "locon tucker": tucker(parts, CONV),
        "peft": peft(parts, LINEAR) | peft(parts, OUT),
        "old diffusers": old_diffusers(parts, QUERY) | old_diffusers(parts, OUT),
        "loha": loha(parts, LINEAR),
        "loha conv": loha(parts, CONV),
        "loha tucker": loha(parts, CONV, tucker=True),
        "lokr": lokr(parts, QUERY),
        "lokr whole": lokr(parts, QUERY, whole=True),
        "lokr conv": lokr(parts, CONV),
        "lokr conv whole": lokr(parts, CONV, whole=True),
        "dora peft": peft(parts, LINEAR, dora=True),
        "dora by input": lycoris_dora(parts, QUERY, by_input=True),
        "dora by output": lycoris_dora(parts, CONV, by_input=False),
        "full": full(parts, CONV),
        "norm": norm(parts, NORM),
    }


def write(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), str(path), metadata)
    return path
