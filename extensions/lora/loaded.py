"""A LoRA file read for one model, and kept: changing a weight reads nothing again."""

import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from modules.plugins import problem
from modules.plugins.adapters import Parts

from .architecture import TEXT, TEXT_2, UNET, Layout
from .blocks import block_of
from .card import Card, misfit
from .changes import Change, build
from .dialects import Modules, Reading, Target
from .files import json_object, read_header
from .shelf import File, Shelf, Stamp

BUDGET = 2 << 30
"""Bytes of changes that are kept for the next job."""
PEFT_METADATA = "lora_adapter_metadata"


@dataclass(frozen=True, eq=False)
class Lora:
    """One file as it acts on one model."""

    file: File
    card: Card
    hash: str
    reading: Reading
    changes: tuple[Change, ...]
    relative: Mapping[str, float]
    """By block: the Frobenius norm of its changes at weight 1, as a share of that of the weights they change."""

    @property
    def changes_text(self) -> bool:
        """Whether it has a part for a text encoder."""
        return any(change.part != UNET for change in self.changes)

    def size_bytes(self) -> int:
        """Memory that it takes."""
        return sum(change.size_bytes() for change in self.changes)


class Loader:
    """Reads LoRA files for models, and keeps what it read as long as there is room and the model lives."""

    def __init__(self, shelf: Shelf, budget: int = BUDGET) -> None:
        self._shelf = shelf
        self._budget = budget
        self._kept: OrderedDict[tuple[Stamp, int], tuple[weakref.ref[Any], Lora]] = OrderedDict()

    def load(self, file: File, parts: Parts) -> Lora:
        """The file's changes of this model.

        Raises:
            UserError: the file cannot be read, or nothing of it fits the model.
        """
        key = (file.stamp, id(parts.unet))
        if key in self._kept:
            model, lora = self._kept[key]
            if model() is parts.unet:
                self._kept.move_to_end(key)
                return lora
            del self._kept[key]
        lora = self._read(file, parts)
        self._kept[key] = (weakref.ref(parts.unet), lora)
        self._shrink()
        return lora

    def _shrink(self) -> None:
        for key in [key for key, (model, _) in self._kept.items() if model() is None]:
            del self._kept[key]
        while len(self._kept) > 1 and self.size_bytes() > self._budget:
            self._kept.popitem(last=False)

    def size_bytes(self) -> int:
        """Memory that is kept."""
        return sum(lora.size_bytes() for _, lora in self._kept.values())

    def _read(self, file: File, parts: Parts) -> Lora:
        card = self._shelf.card(file)
        reading = card.reading(Modules.of(layout_of(parts)))
        if not reading.targets:
            _refuse(card, parts)
        modules = part_modules(parts)
        with torch.inference_mode():
            changes = read_changes(file, reading, modules)
            relative = _relative(changes, modules)
        return Lora(file, card, self._shelf.hash(file), reading, changes, relative)


def read_changes(
    file: File, reading: Reading, modules: Mapping[str, nn.Module]
) -> tuple[Change, ...]:
    """Every change of a file, on the device and in the type of the module that it changes.

    Raises:
        UserError: a tensor of the file cannot be read, or holds what is no number.
    """
    noted = noted_scales(read_header(file.path).metadata)
    try:
        with safe_open(str(file.path), "pt") as opened:
            changes = tuple(
                build(
                    target,
                    opened.get_tensor,
                    modules[target.part].get_submodule(target.path),
                    noted(target, opened.get_slice(target.keys["down"]).get_shape()[0])
                    if "down" in target.keys
                    else None,
                )
                for target in reading.targets
            )
    except (OSError, ValueError, RuntimeError, ArithmeticError) as error:
        raise problem(
            f"{file.path.name} cannot be used: {error}.", f"{file.path.name} 无法使用：{error}。"
        ) from error
    for change in changes:
        if not math.isfinite(change.norm):
            raise problem(
                f"{file.path.name} holds numbers that are none (at {change.path}). Download it again.",
                f"{file.path.name} 含有无效数值（位于 {change.path}）。请重新下载。",
            )
    return changes


def noted_scales(metadata: Mapping[str, str]) -> Callable[[Target, int], float | None]:
    """alpha / rank by module, as PEFT's configuration in the header of a diffusers file has it."""
    config = json_object(metadata.get(PEFT_METADATA))

    def scale(target: Target, rank: int) -> float | None:
        prefix = f"{target.part}."
        own = {
            key.removeprefix(prefix): value
            for key, value in config.items()
            if key.startswith(prefix)
        }
        alpha = own.get("lora_alpha")
        patterns = own.get("alpha_pattern")
        if isinstance(patterns, dict):
            for pattern, value in patterns.items():
                if target.path == pattern or target.path.endswith(f".{pattern}"):
                    alpha = value
        if not isinstance(alpha, int | float):
            return None
        return alpha / (math.sqrt(rank) if own.get("use_rslora") else rank)

    return scale


def part_modules(parts: Parts) -> Mapping[str, nn.Module]:
    """The parts of a model that a LoRA can change, by name."""
    found = {name: getattr(parts, name, None) for name in (TEXT, TEXT_2, UNET)}
    return {name: module for name, module in found.items() if module is not None}


def layout_of(parts: Parts) -> Layout:
    """The modules of a loaded model that hold a weight."""
    return {
        part: {
            path: tuple(weight.shape)
            for path, module in root.named_modules()
            if isinstance(weight := getattr(module, "weight", None), Tensor)
        }
        for part, root in part_modules(parts).items()
    }


def _refuse(card: Card, parts: Parts) -> None:
    width = getattr(getattr(parts.unet, "config", None), "cross_attention_dim", None)
    words = misfit(card, parts.family, width if isinstance(width, int) else None) or (
        f"Nothing of the LoRA “{card.title}” ({card.keys} tensors, made for {card.base}) fits this model.",
        f"LoRA “{card.title}”（{card.keys} 个张量，针对 {card.base}）与此模型完全不符。",
    )
    raise problem(*words)


def _relative(changes: tuple[Change, ...], modules: Mapping[str, nn.Module]) -> Mapping[str, float]:
    changed: dict[str, float] = {}
    there: dict[str, float] = {}
    for change in changes:
        block = block_of(change.part, change.path)
        weight = modules[change.part].get_submodule(change.path).get_parameter("weight")
        changed[block] = changed.get(block, 0.0) + change.norm**2
        there[block] = there.get(block, 0.0) + float(torch.linalg.vector_norm(weight.float())) ** 2
    return {
        block: math.sqrt(changed[block] / there[block]) if there[block] else 0.0
        for block in changed
    }
