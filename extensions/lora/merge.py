"""A mix made permanent: one LoRA file, or a checkpoint, with the recipe in its metadata.

Only what a file can hold is merged: weights, text-encoder weights and block weights. Windows, curves and rows for some
pictures belong to a generation and are refused by name.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from modules.plugins import problem
from modules.plugins.adapters import Parts

from .adapter import Strand
from .aliases import layers_per_block, original_names
from .architecture import TEXT, TEXT_2, UNET
from .blocks import block_weight
from .changes import Change
from .loaded import part_modules

RECIPE = "noisette.recipe"
_PREFIX = {UNET: "lora_unet_", TEXT: "lora_te_text_model_", TEXT_2: "lora_te2_text_model_"}
_IN_FILE = {
    "sd1": {UNET: "model.diffusion_model.", TEXT: "cond_stage_model.transformer.text_model."},
    "sdxl": {
        UNET: "model.diffusion_model.",
        TEXT: "conditioner.embedders.0.transformer.text_model.",
    },
    "sd2": {UNET: "model.diffusion_model."},
}


def recipe(strands: Sequence[Strand], base: str) -> dict[str, str]:
    """What went in, as a file's metadata."""
    rows = [
        {
            "name": strand.lora.file.name,
            "hash": strand.lora.hash,
            "weight": strand.row.weight,
            "te": strand.row.text_weight,
            "blocks": strand.row.blocks,
        }
        for strand in strands
    ]
    return {RECIPE: json.dumps({"base": base, "rows": rows}), "format": "pt"}


def to_lora(strands: Sequence[Strand], parts: Parts, *, rank: int = 0) -> dict[str, Tensor]:
    """The tensors of one LoRA file, in kohya's dialect, that does at weight 1 what all of these do together.

    Low-rank changes stay exact: their matrices stand side by side, and their ranks add up. `rank` above 0 brings each
    module down to that rank by its singular values, the best approximation there is (Eckart and Young 1936). What is
    no low-rank change (LoHa, LoKr, DoRA, full) is written as a whole difference, or at `rank`.
    """
    _mergeable(strands)
    found: dict[str, Tensor] = {}
    modules = part_modules(parts)
    layers = layers_per_block([name for name, _ in modules[UNET].named_modules()])
    for (part, path), changes in _by_module(strands).items():
        stem = _stem(parts.family, part, path, layers)
        weight = modules[part].get_submodule(path).get_parameter("weight")
        low = [(change, scale) for change, scale in changes if change.down is not None]
        full = [(change, scale) for change, scale in changes if "weight" in change.full]
        if low and not full and not rank:
            down = torch.cat([change.down for change, _ in low if change.down is not None])
            up = torch.cat([change.up.float() * s for change, s in low if change.up is not None], 1)
            found |= _pair(stem, down, up, weight)
        elif low or full:
            difference = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
            for change, scale in [*low, *full]:
                difference += scale * whole(change, weight)
            if rank and weight.dim() > 1:
                found |= _pair(stem, *_best(difference, rank), weight)
            else:
                found[f"{stem}.diff"] = difference
        biases = [
            (change.full["bias"], scale) for change, scale in changes if "bias" in change.full
        ]
        if biases:
            found[f"{stem}.diff_b"] = sum(
                (bias.float() * scale for bias, scale in biases), torch.zeros(())
            )
    return {key: tensor.contiguous().cpu() for key, tensor in found.items()}


def save_lora(path: Path, strands: Sequence[Strand], parts: Parts, *, rank: int = 0) -> None:
    """Write `to_lora` to a file, in float16, whole or not at all.

    Raises:
        UserError: there is a file already, or a row that no file can hold.
    """
    _free(path)
    tensors = {key: value.half() for key, value in to_lora(strands, parts, rank=rank).items()}
    _write(path, tensors, recipe(strands, parts.card_name))


def whole(change: Change, weight: Tensor) -> Tensor:
    """A change as a float32 difference of the weight's shape."""
    if change.down is not None and change.up is not None:
        return (change.up.float() @ change.down.float().flatten(1)).reshape(weight.shape)
    return change.full["weight"].float()


def merged(strands: Sequence[Strand], parts: Parts) -> dict[str, dict[str, Tensor]]:
    """By part, the parameters that differ from the model's own, in its type."""
    _mergeable(strands)
    modules = part_modules(parts)
    found: dict[str, dict[str, Tensor]] = {}
    for (part, path), changes in _by_module(strands).items():
        module = modules[part].get_submodule(path)
        for name in ("weight", "bias"):
            own = getattr(module, name, None)
            total = None if own is None else own.float()
            touched = False
            for change, scale in changes:
                if name == "weight" and (change.down is not None or "weight" in change.full):
                    difference = whole(change, module.get_parameter("weight"))
                elif name in change.full:
                    difference = change.full[name].float()
                else:
                    continue
                total = difference * scale if total is None else total + difference * scale
                touched = True
            if touched and total is not None:
                dtype = module.get_parameter("weight").dtype
                found.setdefault(part, {})[f"{path}.{name}"] = total.to(dtype)
    return found


def save_checkpoint(source: Path, target: Path, strands: Sequence[Strand], parts: Parts) -> None:
    """A copy of the checkpoint with the mix in its weights; `source` is its folder or its single file.

    Raises:
        UserError: there is something at `target` already, a row that no file can hold, or a module that the file
            keeps in another shape than a LoRA can be merged into.
    """
    _free(target)
    changed = merged(strands, parts)
    facts = recipe(strands, parts.card_name)
    if source.is_dir():
        _save_folder(source, target, changed, facts)
    else:
        _save_file(source, target, parts, changed, facts)


def _save_folder(
    source: Path, target: Path, changed: Mapping[str, Mapping[str, Tensor]], facts: dict[str, str]
) -> None:
    part_folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        shutil.copytree(source, part_folder)
        for part, tensors in changed.items():
            left = dict(tensors)
            for file in sorted((part_folder / part).glob("*.safetensors")):
                metadata, own = _read(file)
                for key in list(own):
                    plain = key.removeprefix("text_model.") if part != UNET else key
                    if plain in left:
                        own[key] = left.pop(plain).to(own[key].dtype).cpu().contiguous()
                save_file(own, str(file), {**metadata, **facts})
            _all_found(left)
        card = part_folder / "card.json"
        if card.is_file():
            data = json.loads(card.read_text(encoding="utf-8"))
            data |= {"name": target.name, "title": target.name, "recipe": json.loads(facts[RECIPE])}
            card.write_text(json.dumps(data, ensure_ascii=False, indent=2), encoding="utf-8")
        os.replace(part_folder, target)
    finally:
        shutil.rmtree(part_folder, ignore_errors=True)


def _save_file(
    source: Path,
    target: Path,
    parts: Parts,
    changed: Mapping[str, Mapping[str, Tensor]],
    facts: dict[str, str],
) -> None:
    prefixes = _IN_FILE.get(parts.family, {})
    layers = layers_per_block([name for name, _ in part_modules(parts)[UNET].named_modules()])
    metadata, own = _read(source)
    left: dict[str, Tensor] = {}
    for part, tensors in changed.items():
        for name, tensor in tensors.items():
            path, _, parameter = name.rpartition(".")
            stems = list(original_names(path, layers)) if part == UNET else [path]
            keys = [f"{prefixes.get(part, '?')}{stem}.{parameter}" for stem in stems]
            key = next((key for key in keys if key in own), None)
            if key is None or own[key].numel() != tensor.numel():
                left[name] = tensor
            else:
                own[key] = tensor.reshape(own[key].shape).to(own[key].dtype).cpu().contiguous()
    _all_found(left)
    _write(target, own, {**metadata, **facts})


def _by_module(
    strands: Sequence[Strand],
) -> Mapping[tuple[str, str], list[tuple[Change, float]]]:
    found: dict[tuple[str, str], list[tuple[Change, float]]] = {}
    for strand in strands:
        for change in strand.lora.changes:
            if change.part == UNET:
                scale = strand.row.weight * block_weight(change.block, strand.row.blocks)
            else:
                scale = strand.row.text_weight
            if scale:
                found.setdefault((change.part, change.path), []).append((change, scale))
    return found


def _stem(family: str, part: str, path: str, layers: int) -> str:
    name = path.removeprefix("text_model.")
    if family == "sdxl":
        # The world's SDXL files name the U-Net as the original code does.
        name = next(original_names(path, layers), path) if part == UNET else name
        prefix = _PREFIX[part] if part != TEXT else "lora_te1_text_model_"
    else:
        prefix = _PREFIX[part]
    return prefix + name.replace(".", "_")


def _pair(stem: str, down: Tensor, up: Tensor, weight: Tensor) -> dict[str, Tensor]:
    kernel = [1 for _ in weight.shape[2:]]
    return {
        f"{stem}.lora_down.weight": down.reshape(down.shape[0], *weight.shape[1:]),
        f"{stem}.lora_up.weight": up.reshape(*up.shape, *kernel),
        f"{stem}.alpha": torch.tensor(float(down.shape[0])),
    }


def _best(difference: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    left, values, right = torch.linalg.svd(difference.flatten(1), full_matrices=False)
    root = values[:rank].sqrt()
    return root[:, None] * right[:rank], left[:, :rank] * root


def _mergeable(strands: Sequence[Strand]) -> None:
    for strand in strands:
        row = strand.row
        if row.curve or row.start > 0 or row.end < 1 or row.pictures:
            raise problem(
                f"{row.name!r} acts in some steps or pictures only, which no file can hold. Clear its window and curve.",
                f"{row.name!r} 只在部分步数或图片中生效，文件无法保存这一点。请清除其步数区间与曲线。",
            )


def _free(path: Path) -> None:
    if path.exists():
        raise problem(f"{path} is there already.", f"{path} 已存在。")


def _all_found(left: Mapping[str, Tensor]) -> None:
    if left:
        first = next(iter(left))
        raise problem(
            f"{len(left)} changed weights have no place in this checkpoint (the first is {first}).",
            f"此模型文件中没有 {len(left)} 个被修改的权重（第一个为 {first}）。",
        )


def _read(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(str(file), "pt") as opened:
        metadata = dict(opened.metadata() or {})
        return metadata, {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, str(part), metadata)
        part.chmod(0o644)  # safetensors leaves it to its owner alone
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
