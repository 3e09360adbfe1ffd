"""Whether a model is as it was: its modules, their attributes and hooks, and a sample of each of its weights.

An extension that changes a model puts it back exactly. A seal taken before and one taken after tell whether it did,
and where not, in some milliseconds: of each weight at most `SAMPLE` values, evenly spread, are compared bit by bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from modules.diffusion.parts import Parts

SAMPLE = 1024
_PLAIN = (bool, int, float, str, bytes)
_FILLED_IN = {"latent_rgb"}
"""What a generation itself adds to the parts."""
_SCRATCH = frozenset(
    {"_cache", "_forward_cache", "_conv_num", "_conv_idx", "_feat_map"}
    | {"_enc_conv_num", "_enc_conv_idx", "_enc_feat_map"}  # of an autoencoder of films
)
_TABLES = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True)
class Seal:
    """What was found at each place of the model, by name."""

    places: Mapping[str, object]

    def difference(self, other: Seal) -> str | None:
        """The first place at which two seals differ, or None."""
        for name in sorted(self.places.keys() | other.places.keys()):
            if self.places.get(name) != other.places.get(name):
                return name
        return None


def seal(parts: Parts) -> Seal:
    """Look at everything in `parts` that a generation uses."""
    places: dict[str, object] = {}
    for part, value in vars(parts).items():
        if isinstance(value, nn.Module):
            places |= _module(part, value)
        elif part not in _FILLED_IN:
            places[part] = _mark(value)
    return Seal(places)


def _module(part: str, root: nn.Module) -> dict[str, object]:
    places: dict[str, object] = {}
    for path, module in root.named_modules():
        place = f"{part}.{path}" if path else part
        attributes = {
            name: _mark(value)
            for name, value in vars(module).items()
            if name not in _TABLES and not _is_scratch(name)
        }
        places[place] = (id(module), type(module), tuple(sorted(attributes.items())))
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            places[f"{place}.{name}"] = None if tensor is None else _tensor(tensor)
    return places


def _is_scratch(name: str) -> bool:
    # What diffusers and transformers keep for themselves between two calls.
    return name.startswith("_diffusers_") or name in _SCRATCH


def _mark(value: object) -> object:
    if value is None or isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if isinstance(value, Mapping):
        return (id(value), tuple((repr(key)[:80], _shallow(each)) for key, each in value.items()))
    return _shallow(value)


def _shallow(value: object) -> object:
    return (
        repr(value)
        if value is None or isinstance(value, _PLAIN)
        else (type(value).__name__, id(value))
    )


def _tensor(tensor: torch.Tensor) -> tuple[Any, ...]:
    facts = (tuple(tensor.shape), str(tensor.dtype), str(tensor.device))
    if tensor.numel() == 0 or tensor.is_meta:
        return facts
    with torch.inference_mode():
        flat = tensor.detach()
        if flat.is_contiguous() or flat.is_contiguous(memory_format=torch.channels_last):
            flat = flat.as_strided((flat.numel(),), (1,))  # in the order of the memory: no copy
        else:
            flat = flat.reshape(-1)
        sample = flat[:: max(1, flat.numel() // SAMPLE)].contiguous().cpu()
        data = sample.view(torch.uint8).numpy().tobytes()
    return (*facts, hashlib.blake2b(data, digest_size=8).digest())
