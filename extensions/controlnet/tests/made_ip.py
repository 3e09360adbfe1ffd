"""Tiny IP-Adapters in the original layout, with random weights, and the image encoder that they go with."""

import re
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from . import made

WIDTH, PROJECTED, SIDE, PATCH = 64, 48, 28, 14
KINDS = ("base", "plus", "full")


def encoder(folder: Path | None = None, *, width: int = WIDTH, projected: int = PROJECTED) -> Any:
    """A CLIP vision tower; written to `folder` as transformers does."""
    torch.manual_seed(11)
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=projected,
        hidden_act="gelu",
    )
    model = CLIPVisionModelWithProjection(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.normal_(0, 0.2)
    if folder is not None:
        model.save_pretrained(folder)
    return model


def adapter(unet: Any, kind: str = "base", seed: int = 5) -> dict[str, torch.Tensor]:
    """The tensors of a file for `unet`."""
    text = unet.config.cross_attention_dim
    made_so = torch.Generator().manual_seed(seed)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=made_so) * 0.4

    def linear(name: str, out: int, into: int, bias: bool = True) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": some(out, into)} | ({f"{name}.bias": some(out)} if bias else {})

    def norm(name: str, width: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + some(width), f"{name}.bias": some(width)}

    if kind == "base":
        inner = linear("proj", 4 * text, PROJECTED) | norm("norm", text)
    elif kind == "full":
        inner = linear("proj.0", WIDTH, WIDTH) | linear("proj.2", text, WIDTH)
        inner |= norm("proj.3", text)
    else:
        hidden = 128
        inner = {"latents": some(1, 6, hidden)}
        inner |= linear("proj_in", hidden, WIDTH) | linear("proj_out", text, hidden)
        inner |= norm("norm_out", text)
        for n in range(4):  # diffusers counts on four
            at = f"layers.{n}"
            inner |= norm(f"{at}.0.norm1", hidden) | norm(f"{at}.0.norm2", hidden)
            inner |= linear(f"{at}.0.to_q", 128, hidden, bias=False)
            inner |= linear(f"{at}.0.to_kv", 256, hidden, bias=False)
            inner |= linear(f"{at}.0.to_out", hidden, 128, bias=False)
            inner |= norm(f"{at}.1.0", hidden)
            inner |= linear(f"{at}.1.1", 4 * hidden, hidden, bias=False)
            inner |= linear(f"{at}.1.3", hidden, 4 * hidden, bias=False)
    found = {f"image_proj.{name}": value for name, value in inner.items()}
    for number, name in enumerate(unet.attn_processors):
        if not name.endswith("attn2.processor"):
            continue
        layer = unet.get_submodule(name.removesuffix(".processor"))
        wide = layer.to_q.weight.shape[0]
        found[f"ip_adapter.{number}.to_k_ip.weight"] = some(wide, text)
        found[f"ip_adapter.{number}.to_v_ip.weight"] = some(wide, text)
    return found


def nested(tensors: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """As diffusers takes it."""
    found: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        found[part][rest] = value
    return found


def write(models: Path, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Into `models/controlnet`."""
    assert re.fullmatch(r"\w+", name)
    made.write(models / "controlnet" / f"{name}.safetensors", tensors)
