"""Samplers that look once per step and remember the slopes of the last ones (Adams-Bashforth methods)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run, Stepped
from modules.diffusion.solvers.steps import intervals
from modules.schema import SamplerOptions

Weights = Callable[[Sequence[float], int, int], Sequence[float]]
"""(sigmas, step, order) -> factors of the slopes, newest first; they sum up to the way from sigma to sigma."""

# Adams-Bashforth of even steps, newest slope first.
_EVEN = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def lms(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """The polynomial through the last four slopes, integrated over sigma. Fourth order."""
    return _adams(x, sigmas, over_sigma, order=4, to_clean=False)


def ipndm(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """The factors of even steps, whatever the steps. Zhang and Chen, arXiv 2204.13902, "iPNDM"."""
    return _adams(x, sigmas, _even, order=4)


def ipndm_v(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """`ipndm` with the factors that steps of uneven length call for. Fourth order."""
    return _adams(x, sigmas, over_sigma, order=4)


def deis(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """The polynomial in log sigma through the last three slopes. Zhang and Chen, arXiv 2204.13902. Third order."""
    return _adams(x, sigmas, over_log_sigma, order=3)


def plms(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """`ipndm` whose first step is Heun's. Liu et al., "PNDM", arXiv 2202.09778. One call more than there are steps."""
    slopes: list[Latents] = []
    for step, sigma, lower in intervals(sigmas):
        slope = (x - (yield Ask(x, sigma, step))) / sigma
        slopes = [slope, *slopes[:3]]
        if step == 0 and lower > 0:
            ahead = x + slope * (lower - sigma)
            slope = (slope + (ahead - (yield Ask(ahead, lower, step))) / lower) / 2
        elif step:
            slope = _sum(_EVEN[len(slopes) - 1], slopes)
        x = yield Stepped(x + slope * (lower - sigma), lower, step)


def _adams(
    x: Latents, sigmas: Sequence[float], weights: Weights, *, order: int, to_clean: bool = True
) -> Run:
    slopes: list[Latents] = []
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        slopes = [(x - denoised) / sigma, *slopes[: order - 1]]
        if lower == 0 and to_clean:
            x = denoised
        else:
            x = x + _sum(weights(sigmas, step, len(slopes)), slopes)
        x = yield Stepped(x, lower, step)


def _even(sigmas: Sequence[float], step: int, order: int) -> Sequence[float]:
    way = sigmas[step + 1] - sigmas[step]
    return [factor * way for factor in _EVEN[order - 1]]


def over_sigma(sigmas: Sequence[float], step: int, order: int) -> Sequence[float]:
    """The integrals over sigma of the polynomials that are 1 at one of the last levels and 0 at the others."""
    known = [sigmas[step - back] for back in range(order)]
    return _integrals(known, sigmas[step + 1], 2, lambda place: 1.0)


def over_log_sigma(sigmas: Sequence[float], step: int, order: int) -> Sequence[float]:
    """As `over_sigma`, for polynomials in log sigma."""
    if sigmas[step + 1] == 0:
        return over_sigma(sigmas, step, order)
    known = [math.log(sigmas[step - back]) for back in range(order)]
    # d sigma = sigma d log sigma
    return _integrals(known, math.log(sigmas[step + 1]), 8, math.exp)


def _gauss(count: int) -> Sequence[tuple[float, float]]:
    # Gauss-Legendre, over 0 to 1: two points are exact for polynomials of degree 3, eight for far more than needed.
    points, factors = np.polynomial.legendre.leggauss(count)
    return tuple(zip(((points + 1) / 2).tolist(), (factors / 2).tolist(), strict=True))


def _integrals(
    known: Sequence[float], last: float, points: int, weight: Callable[[float], float]
) -> Sequence[float]:
    """From known[0] to `last`, of each Lagrange polynomial of the known places times the weight."""
    way = last - known[0]
    quadrature = _gauss(points)
    found = []
    for one, mine in enumerate(known):
        total = 0.0
        for share, factor in quadrature:
            place = known[0] + share * way
            value = factor * weight(place)
            for other, its in enumerate(known):
                if other != one:
                    value *= (place - its) / (mine - its)
            total += value
        found.append(total * way)
    return found


def _sum(factors: Sequence[float], slopes: Sequence[Latents]) -> Latents:
    total = slopes[0] * factors[0]
    for factor, slope in zip(factors[1:], slopes[1:], strict=True):
        total = total + slope * factor
    return total
