"""UniPC: each look at a new level also corrects the step that led there. Zhao et al., arXiv 2302.04867."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run, Stepped
from modules.diffusion.solvers.steps import intervals
from modules.schema import SamplerOptions


def unipc(
    x: Latents,
    sigmas: Sequence[float],
    options: SamplerOptions,
    draw: Draw,
    *,
    order: int = 3,
    variant: str = "bh1",
) -> Run:
    """Predictor and corrector for the clean picture; fewer looks back at the first and the last steps.

    Args:
        variant: the paper's B(h): "bh1" is h, "bh2" is exp(h) - 1.
    """
    looks: list[Latents] = []
    start, used = x, 0
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        if step:
            x = _solve(start, sigmas, step - 1, looks, used, variant, denoised)
        looks = [denoised, *looks[: order - 1]]
        used = min(order, len(looks), len(sigmas) - 1 - step)
        start = x
        x = _solve(start, sigmas, step, looks, used, variant) if lower else denoised
        x = yield Stepped(x, lower, step)


def _solve(
    x: Latents,
    sigmas: Sequence[float],
    step: int,
    looks: Sequence[Latents],
    order: int,
    variant: str,
    after: Latents = None,
) -> Latents:
    """From level `step` to the next one; with a look `after` the step, the corrector (UniC), else the predictor."""
    sigma, lower = sigmas[step], sigmas[step + 1]
    h = math.log(sigma / lower)
    ratio = lower / sigma
    scale = -h if variant == "bh1" else math.expm1(-h)
    found = x * ratio + looks[0] * (1 - ratio)
    places = [-math.log(sigmas[step - back] / sigma) / h for back in range(1, order)]
    rises = [(looks[back + 1] - looks[0]) / places[back] for back in range(order - 1)]
    if after is not None:
        places.append(1.0)
        rises.append(after - looks[0])
    if not rises:
        return found
    for factor, rise in zip(_factors(places, h, scale, after is None), rises, strict=True):
        found = found - rise * (scale * factor)
    return found


def _factors(places: Sequence[float], h: float, scale: float, predictor: bool) -> Sequence[float]:
    """The paper's a_p, from its equation 8; the shortest one of each kind is 1/2."""
    count = len(places)
    if count == 1:
        return [0.5]
    phi = math.expm1(-h) / -h - 1
    factorial = 1.0
    right = []
    for index in range(1, count + 1):
        right.append(phi * factorial / scale)
        factorial *= index + 1
        phi = phi / -h - 1 / factorial
    left = np.vander(places, count, increasing=True).T
    return [float(each) for each in np.linalg.solve(left, right)]
