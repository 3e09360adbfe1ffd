"""Pictures whose edges meet: convolutions that wrap around instead of padding with zeros.

Attention and normalisation do not know where a pixel lies, so with wrapped convolutions the whole denoiser and the
autoencoder commute with rolling the picture, and its left edge continues its right one.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from modules.diffusion.parts import Parts

Axes = Literal["off", "both", "x", "y"]


@contextmanager
def seamless(parts: Parts, axes: Axes) -> Iterator[None]:
    """Make the denoiser and the autoencoders of `parts` wrap along `axes` ("x" is left and right) until the block ends.

    Only the `padding` numbers of convolutions and forward hooks are touched, and both are put back.
    """
    if axes == "off":
        yield
        return
    along_x, along_y = axes in ("both", "x"), axes in ("both", "y")
    with ExitStack() as undo:
        for module in (parts.unet, parts.vae, parts.preview):
            if module is not None:
                _wrap_all(module, along_x, along_y, undo)
        yield


def _wrap_all(module: nn.Module, along_x: bool, along_y: bool, undo: ExitStack) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and not isinstance(layer.padding, str):
            _wrap(layer, along_x, along_y, undo)
        # The autoencoder's way down pads one column and one row of zeros by hand, at the right and at the bottom.
        inner = getattr(layer, "conv", None)
        down = type(layer).__name__ == "Downsample2D" and isinstance(inner, nn.Conv2d)
        if down and getattr(layer, "padding", 1) == 0:
            _hook(inner, _wrap_last(along_x, along_y), undo)


def _wrap(layer: nn.Conv2d, along_x: bool, along_y: bool, undo: ExitStack) -> None:
    before = layer.padding
    rows, columns = int(before[0]), int(before[1])
    wrapped = (columns if along_x else 0, rows if along_y else 0)
    if wrapped == (0, 0):
        return
    layer.padding = (0 if along_y else rows, 0 if along_x else columns)
    undo.callback(setattr, layer, "padding", before)

    def pad(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_around(given[0], *wrapped), *given[1:])

    _hook(layer, pad, undo)


def _hook(layer: nn.Module, hook: Any, undo: ExitStack) -> None:
    undo.callback(layer.register_forward_pre_hook(hook).remove)


def _wrap_last(along_x: bool, along_y: bool) -> Any:
    def pad(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        padded = given[0]
        inner = padded[..., :-1, :-1]
        inner = F.pad(inner, (0, 1, 0, 0), mode="circular" if along_x else "constant")
        inner = F.pad(inner, (0, 0, 0, 1), mode="circular" if along_y else "constant")
        return (inner, *given[1:])

    return pad


def _around(values: torch.Tensor, columns: int, rows: int) -> torch.Tensor:
    """Padded by the far edge's values; more than the picture is wide goes round several times."""
    while columns or rows:
        x, y = min(columns, values.shape[-1]), min(rows, values.shape[-2])
        values = F.pad(values, (x, x, y, y), mode="circular")
        columns, rows = columns - x, rows - y
    return values
