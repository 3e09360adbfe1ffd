"""DPM-Solver++: the equation solved in log sigma for the clean picture instead of the noise.

Lu et al., arXiv 2211.01095, written for x = clean + sigma * noise, in the formulation of k-diffusion (MIT).
`h` is a step in -log sigma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run, Stepped
from modules.diffusion.solvers.steps import ancestral, intervals, towards
from modules.schema import SamplerOptions


def dpmpp_2s_ancestral(
    x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw
) -> Run:
    """Single-step, second order, with fresh noise at each step; eta 0 is DPM-Solver++(2S)."""
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        down, up = ancestral(sigma, lower, options.eta or 0.0)
        if down > 0:
            middle = math.sqrt(sigma * down)
            half = towards(x, denoised, sigma, middle)
            denoised = yield Ask(half, middle, step)
        x = towards(x, denoised, sigma, down)
        if up:
            x = x + draw(sigma, lower) * (up * options.s_noise)
        x = yield Stepped(x, lower, step)


def dpmpp_sde(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """Single-step solver of the stochastic equation, with noise half way as well."""
    eta = options.eta or 0.0
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        if lower > 0:
            middle = math.sqrt(sigma * lower)
            down, up = ancestral(sigma, middle, eta)
            half = towards(x, denoised, sigma, down)
            if up:
                half = half + draw(sigma, middle) * (up * options.s_noise)
            denoised = yield Ask(half, middle, step)
        down, up = ancestral(sigma, lower, eta)
        x = towards(x, denoised, sigma, down)
        if up:
            x = x + draw(sigma, lower) * (up * options.s_noise)
        x = yield Stepped(x, lower, step)


def dpmpp_2m(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """Multistep, second order."""
    last: Latents = None
    h_last = 0.0
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        aim = denoised
        if lower > 0:
            h = math.log(sigma / lower)
            if last is not None:
                aim = denoised + (denoised - last) * (h / (2 * h_last))
            h_last = h
        last = denoised
        x = yield Stepped(towards(x, aim, sigma, lower), lower, step)


def dpmpp_2m_sde(
    x: Latents,
    sigmas: Sequence[float],
    options: SamplerOptions,
    draw: Draw,
    *,
    heun: bool = False,
) -> Run:
    """Multistep solver of the stochastic equation; `heun` weighs the last two looks by the exact integral."""
    eta = options.eta or 0.0
    last: Latents = None
    h_last = 0.0
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        if lower == 0:
            x = denoised
        else:
            h = math.log(sigma / lower)
            reach = -math.expm1(-h * (1 + eta))
            x = x * (1 - reach) + denoised * reach
            if last is not None:
                factor = 1 - reach / (h * (1 + eta)) if heun else reach / 2
                x = x + (denoised - last) * (factor * h / h_last)
            if eta:
                x = x + draw(sigma, lower) * _noise(lower, h, eta, options)
            h_last = h
        last = denoised
        x = yield Stepped(x, lower, step)


def dpmpp_3m_sde(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """`dpmpp_2m_sde` that remembers three looks.

    As in the reference, the bend counts half of what the exact integral gives, so the order is the second all the same.
    """
    eta = options.eta or 0.0
    looks: list[Latents] = []
    steps: list[float] = []
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        looks = [denoised, *looks[:2]]
        if lower == 0:
            x = denoised
        else:
            h = math.log(sigma / lower)
            steps = [h, *steps[:2]]
            wide = h * (1 + eta)
            reach = -math.expm1(-wide)
            x = x * (1 - reach) + denoised * reach
            second = 1 - reach / wide
            if len(looks) == 3:
                near, far = steps[1] / h, steps[2] / h
                rise = (looks[0] - looks[1]) / near
                before = (looks[1] - looks[2]) / far
                bend = (rise - before) / (near + far)
                x = x + (rise + bend * near) * second - bend * (second / wide - 0.5)
            elif len(looks) == 2:
                x = x + (looks[0] - looks[1]) * (second * h / steps[1])
            if eta:
                x = x + draw(sigma, lower) * _noise(lower, h, eta, options)
        x = yield Stepped(x, lower, step)


def _noise(lower: float, h: float, eta: float, options: SamplerOptions) -> float:
    return lower * math.sqrt(-math.expm1(-2 * h * eta)) * options.s_noise
