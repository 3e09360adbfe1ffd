"""Samplers that look twice per step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run, Stepped
from modules.diffusion.solvers.steps import ancestral, churn, intervals, towards
from modules.schema import SamplerOptions


def heun(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """The trapezoidal rule. Karras et al., arXiv 2206.00364, algorithm 2. Second order."""
    for step, sigma, lower in intervals(sigmas):
        x, level = churn(x, sigma, len(sigmas) - 1, options, draw)
        x = yield from _trapezoid(x, level, lower, step)
        x = yield Stepped(x, lower, step)


def dpm2(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """The midpoint rule, with the middle in log sigma. Lu et al., DPM-Solver-2, arXiv 2206.00927. Second order."""
    for step, sigma, lower in intervals(sigmas):
        x, level = churn(x, sigma, len(sigmas) - 1, options, draw)
        x = yield from _midpoint(x, level, lower, step)
        x = yield Stepped(x, lower, step)


def dpm2_ancestral(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """`dpm2` down to below the next level, and up to it with fresh noise."""
    for step, sigma, lower in intervals(sigmas):
        down, up = ancestral(sigma, lower, options.eta or 0.0)
        x = yield from _midpoint(x, sigma, down, step)
        if up:
            x = x + draw(sigma, lower) * (up * options.s_noise)
        x = yield Stepped(x, lower, step)


def heun_plus_plus(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """Looks one and two steps ahead; their slopes weigh less the cleaner the picture is.

    The weights are those of the "HeunPP2" that web UIs offer. They are not those of a Runge-Kutta method: first order.
    """
    top, steps = sigmas[0], len(sigmas) - 1
    for step, sigma, lower in intervals(sigmas):
        x, level = churn(x, sigma, steps, options, draw)
        slope = (x - (yield Ask(x, level, step))) / level
        way = lower - level
        if step + 1 < steps:
            ahead = x + slope * way
            second = (ahead - (yield Ask(ahead, lower, step))) / lower
            if step + 2 < steps:
                further = sigmas[step + 2]
                ahead = ahead + second * (further - lower)
                third = (ahead - (yield Ask(ahead, further, step))) / further
                b, c = lower / (3 * top), further / (3 * top)
                slope = slope * (1 - b - c) + second * b + third * c
            else:
                b = lower / (2 * top)
                slope = slope * (1 - b) + second * b
        x = yield Stepped(x + slope * way, lower, step)


def restart(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """Heun, and at a low level back up with fresh noise to do the last part again. Xu et al., arXiv 2306.14878.

    The steps asked for are shared between the way down and the repetitions, as the A1111 family does it: none below
    20 steps, one of 9 from there on, two of a quarter each from 36. With repetitions the levels are Karras's.
    """
    last = 0.0
    for step, (sigma, lower) in enumerate(_restart_plan(sigmas)):
        if step and sigma > last:
            up = math.sqrt(sigma**2 - last**2)
            x = x + draw(sigma, last) * (up * options.s_noise)
        x = yield from _trapezoid(x, sigma, lower, step)
        x = yield Stepped(x, lower, step)
        last = lower


def _restart_plan(sigmas: Sequence[float]) -> list[tuple[float, float]]:
    steps = len(sigmas) - 1
    size, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    if steps < 20 or sigmas[-1] > 0:
        return list(pairwise(sigmas))
    levels = [*_karras(sigmas[0], sigmas[-2], steps - size * times), 0.0]
    low = min(range(len(levels)), key=lambda index: abs(levels[index] - 0.1))
    high = min(range(len(levels)), key=lambda index: abs(levels[index] - 2.0))
    plan = list(pairwise(levels))
    if high < low:
        again = list(pairwise(_karras(levels[high], levels[low], size + 1)))
        plan[low:low] = again * times
    return plan


def _karras(high: float, low: float, steps: int, rho: float = 7.0) -> list[float]:
    ends = high ** (1 / rho), low ** (1 / rho)
    return [
        float((ends[0] + index / max(steps - 1, 1) * (ends[1] - ends[0])) ** rho)
        for index in range(steps)
    ]


def _trapezoid(x: Latents, sigma: float, lower: float, step: int) -> Run:
    denoised = yield Ask(x, sigma, step)
    ahead = towards(x, denoised, sigma, lower)
    if lower == 0:
        return ahead
    second = yield Ask(ahead, lower, step)
    slope = (x - denoised) / sigma + (ahead - second) / lower
    return x + slope * ((lower - sigma) / 2)


def _midpoint(x: Latents, sigma: float, lower: float, step: int) -> Run:
    denoised = yield Ask(x, sigma, step)
    if lower == 0:
        return denoised
    middle = math.sqrt(sigma * lower)
    half = towards(x, denoised, sigma, middle)
    second = yield Ask(half, middle, step)
    return x + (half - second) * ((lower - sigma) / middle)
