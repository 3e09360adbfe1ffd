"""One Brownian path per seed, and pieces of it as noise: for samplers of the stochastic equation.

Whoever makes a picture of a seed with more steps walks along the same path in smaller pieces, so the picture stays
much the same. The path lives on a grid of 2**14 points, evenly in log sigma; a point's value comes from halving the
interval again and again (Lévy's construction; Li et al., arXiv 2001.01328, "virtual Brownian tree"), each middle from
a generator of its own, seeded by the picture's seed and the middle's place. On the grid the distribution is exact.

The reference draws such a path with torchsde, from other random numbers and evenly in sigma: a seed gives another
picture there, of the same distribution.
"""

from __future__ import annotations

import math

import torch

DEPTH = 14


class BrownianPath:
    """The path between two levels, for latents of one shape: `path(sigma, lower)` is unit noise."""

    def __init__(self, seed: int, shape: tuple[int, ...], low: float, high: float) -> None:
        self._seed = seed
        self._shape = shape
        self._low = math.log(low)
        self._points = 2**DEPTH
        self._scale = self._points / (math.log(high) - self._low)
        # Only what the last piece needed: the next one is mostly near.
        self._known = {0: torch.zeros(shape), self._points: self._node(0)}

    def __call__(self, sigma: float, lower: float) -> torch.Tensor:
        """(1, ...) of standard normal numbers; pieces of the path that do not overlap are independent."""
        first, last = sorted((self._place(sigma), self._place(lower)))
        if first == last:  # closer than the grid: the piece around both
            first, last = (first, last + 1) if last < self._points else (first - 1, last)
        used: dict[int, torch.Tensor] = {}
        piece = self._value(last, used) - self._value(first, used)
        self._known = used
        return piece * math.sqrt(self._points / (last - first))

    def _place(self, sigma: float) -> int:
        return min(self._points, max(0, round((math.log(sigma) - self._low) * self._scale)))

    def _value(self, place: int, used: dict[int, torch.Tensor]) -> torch.Tensor:
        """Of the path at a point; the whole path has variance 1."""
        first, last = 0, self._points
        used |= {first: self._known[first], last: self._known[last]}
        while place not in (first, last):
            middle = (first + last) // 2
            if middle not in self._known:
                spread = math.sqrt((last - first) / self._points) / 2
                straight = (self._known[first] + self._known[last]) / 2
                self._known[middle] = straight + self._node(middle) * spread
            used[middle] = self._known[middle]
            first, last = (middle, last) if place > middle else (first, middle)
        return used[place]

    def _node(self, place: int) -> torch.Tensor:
        generator = torch.Generator("cpu").manual_seed(_mix(self._seed, place))
        return torch.randn(self._shape, generator=generator)


def _mix(seed: int, place: int) -> int:
    """A 64-bit seed of its own for each place: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    word = (seed << 20 | place) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    word = (word ^ word >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return word ^ word >> 31
