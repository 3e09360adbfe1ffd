"""A picture in overlapping pieces, for work that would take too much memory at once."""

from collections.abc import Callable, Iterator

import torch

Work = Callable[[torch.Tensor], torch.Tensor]


def in_tiles(
    given: torch.Tensor,
    work: Work,
    *,
    tile: int,
    overlap: int,
    check: Callable[[], None],
) -> torch.Tensor:
    """`work` done piece by piece, blended where the pieces overlap.

    Args:
        given: (n, channels, height, width).
        work: of a piece; its result may be larger or smaller by a whole factor, the same on both sides.
        tile, overlap: in pixels of `given`; the overlap is less than half a tile.
        check: called before each piece; may raise to stop.
    """
    rows, columns = spans(given.shape[-2], tile, overlap), spans(given.shape[-1], tile, overlap)
    total = weight = None
    for top, bottom in rows:
        for left, right in columns:
            check()
            done = work(given[..., top:bottom, left:right])
            up = done.shape[-1] / (right - left)
            if total is None or weight is None:
                size = (round(given.shape[-2] * up), round(given.shape[-1] * up))
                total = done.new_zeros((*done.shape[:-2], *size))
                weight = done.new_zeros(size)
            y, x = round(top * up), round(left * up)
            height, width = done.shape[-2:]
            ramp = round(overlap * up)
            share = (
                _ramp(height, ramp, top > 0, bottom < given.shape[-2]).to(done)[:, None]
                * _ramp(width, ramp, left > 0, right < given.shape[-1]).to(done)[None, :]
            )
            total[..., y : y + height, x : x + width] += done * share
            weight[y : y + height, x : x + width] += share
    assert total is not None and weight is not None
    return total / weight


def spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Where the pieces of one side begin and end; each is `tile` long, or the side is one piece."""
    if length <= tile:
        return [(0, length)]
    return [(start, start + tile) for start in _starts(length, tile, tile - overlap)]


def _starts(length: int, tile: int, stride: int) -> Iterator[int]:
    start = 0
    while start + tile < length:
        yield start
        start += stride
    yield length - tile


def _ramp(length: int, overlap: int, before: bool, after: bool) -> torch.Tensor:
    """Weights along a side: rising and falling over the overlaps, never 0."""
    weights = torch.ones(length)
    rise = (torch.arange(min(overlap, length)) + 1.0) / (min(overlap, length) + 1.0)
    if before:
        weights[: len(rise)] *= rise
    if after:
        weights[length - len(rise) :] *= rise.flip(0)
    return weights
