"""A LoRA's strength over the steps of a generation. Pure numbers."""

from bisect import bisect_right
from collections.abc import Sequence

Point = tuple[float, float]
"""(share of the steps from 0 to 1, factor)."""


def factor(share: float, start: float, end: float, curve: Sequence[Point] = ()) -> float:
    """What a weight is multiplied by at a share of the steps, from 0 (the first call) to below 1.

    Outside of the window from `start` (included) to `end` (not included; 1 is the end of everything) it is 0. Within
    it the curve's points are joined by straight lines over the whole run; before its first point and after its last
    their value holds, and without points it is 1.
    """
    if not (start <= share < end or (end >= 1 and share >= start)):
        return 0.0
    if not curve:
        return 1.0
    places = [place for place, _ in curve]
    after = bisect_right(places, share)
    if after == 0:
        return curve[0][1]
    if after == len(curve):
        return curve[-1][1]
    (left, low), (right, high) = curve[after - 1], curve[after]
    return low + (high - low) * (share - left) / (right - left)


PRESETS: dict[str, tuple[Point, ...]] = {
    "constant": (),
    "rise": ((0.0, 0.0), (1.0, 1.0)),
    "fall": ((0.0, 1.0), (1.0, 0.0)),
    "middle": ((0.0, 0.0), (0.5, 1.0), (1.0, 0.0)),
    "ends": ((0.0, 1.0), (0.5, 0.0), (1.0, 1.0)),
}
"""The curves that the mixer offers by name."""
