"""A checkpoint of random weights, as large as a real one and in the layout that people download: to measure with."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from modules.library import layouts
from modules.library.families import spec
from modules.library.load import empty_part
from modules.library.weights import build

_SPREAD = 0.02
"""Standard deviation of the weights: small enough that nothing grows beyond bounds on the way through."""


def write_sd1(path: Path, seed: int = 0) -> None:
    """Write a whole Stable Diffusion 1.x model in fp16 to `path`, 2.1 GB; pictures of it mean nothing.

    Raises:
        OSError: there is no room for it.
    """
    shapes = dict(_shapes())
    header: dict[str, Any] = {}
    at = 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    body = json.dumps(header).encode("ascii")
    body += b" " * (-len(body) % 8)
    chance = torch.Generator().manual_seed(seed)
    with path.open("wb") as file:
        file.write(len(body).to_bytes(8, "little") + body)
        for shape in shapes.values():
            numbers = torch.randn(shape, generator=chance).mul_(_SPREAD).half()
            file.write(memoryview(numbers.numpy()).cast("B"))


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of the file, as its layout calls them."""
    known = spec("sd1")
    parts = (
        ("unet", known.unet, layouts.ldm_unet(known.unet)),
        ("vae", known.vae, layouts.ldm_vae(known.vae, "first_stage_model.")),
        ("text_encoder", known.text_encoder, layouts.clip("cond_stage_model.transformer.")),
    )
    for part, config, layout in parts:
        model = build(empty_part(part, config or {}))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                yield next(iter(layout(name))).name, tuple(value.shape)
