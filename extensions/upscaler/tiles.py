"""A large picture in pieces that a model can take, put together again without a seam.

Neighbours overlap. In the overlap the outermost `margin` pixels of a tile count nothing, because there a model lacks what
lies beyond; between the margins one tile fades into the other. At every pixel the shares add up to 1, so whatever a
model makes of a plain area stays plain. A model that looks no further than `margin` pixels makes exactly the same
picture in tiles as in one piece.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""(height, width, channels), 0 to 1."""


@dataclass(frozen=True)
class Tiling:
    """Sizes in pixels of the picture that goes in."""

    tile: int = 256
    overlap: int = 48
    margin: int = 16

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.margin < self.overlap < self.tile // 2:
            raise ValueError("2 margins have to fit into an overlap, and 2 overlaps into a tile")


def starts(length: int, tiling: Tiling) -> list[int]:
    """Where tiles begin along a side; the last one ends with the side."""
    if length <= tiling.tile:
        return [0]
    stride = tiling.tile - tiling.overlap
    count = -(-(length - tiling.tile) // stride)
    return [*(number * stride for number in range(count)), length - tiling.tile]


def shares(length: int, tiling: Tiling, factor: int) -> list[NDArray[np.float32]]:
    """How much each tile along a side counts at each of its pixels, enlarged; at every pixel they add up to 1."""
    begins = starts(length, tiling)
    tile = min(length, tiling.tile) * factor
    ramp = (tiling.overlap - 2 * tiling.margin) * factor
    raw = []
    for begin in begins:
        place = np.arange(tile) + 0.5
        before = place if begin > 0 else np.full(tile, np.inf)
        after = tile - place if begin * factor + tile < length * factor else np.full(tile, np.inf)
        nearest = np.minimum(before, after) - tiling.margin * factor
        raw.append(np.clip(nearest / ramp, 0, 1))
    total = np.zeros(length * factor)
    for begin, share in zip(begins, raw, strict=True):
        total[begin * factor : begin * factor + tile] += share
    return [
        (share / total[begin * factor : begin * factor + tile]).astype(np.float32)
        for begin, share in zip(begins, raw, strict=True)
    ]


def in_tiles(
    picture: NDArray[np.uint8],
    factor: int,
    model: Callable[[Pixels], Pixels],
    check: Callable[[float], None],
    tiling: Tiling,
) -> NDArray[np.uint8]:
    """The picture (height, width, channels) `factor` times as large.

    Rows of tiles are put together one after the other, so no more than one row is in memory as floats.

    Args:
        model: a piece in, the piece `factor` times as large out.
        check: called before each piece with the share that is done; raises to stop.
    """
    height, width, channels = picture.shape
    lefts, tops = starts(width, tiling), starts(height, tiling)
    across, down = shares(width, tiling, factor), shares(height, tiling, factor)
    wide, high = min(width, tiling.tile), min(height, tiling.tile)
    result = np.empty((height * factor, width * factor, channels), np.uint8)
    carried = np.zeros((0, width * factor, channels), np.float32)
    for row, top in enumerate(tops):
        strip = np.zeros((high * factor, width * factor, channels), np.float32)
        strip[: len(carried)] = carried
        for column, left in enumerate(lefts):
            check((row * len(lefts) + column) / (len(tops) * len(lefts)))
            piece = picture[top : top + high, left : left + wide].astype(np.float32) / np.float32(
                255
            )
            share = down[row][:, None, None] * across[column][None, :, None]
            strip[:, left * factor : (left + wide) * factor] += model(piece) * share
        done = (tops[row + 1] - top if row + 1 < len(tops) else high) * factor
        finished = strip[:done].clip(0, 1) * 255
        result[top * factor : top * factor + done] = finished.round().astype(np.uint8)
        carried = strip[done:]
    return result
