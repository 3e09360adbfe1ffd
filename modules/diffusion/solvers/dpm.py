"""DPM-Solver with its own steps: only the first and the last level of the schedule count.

Lu et al., arXiv 2206.00927, algorithms 1 and 2 and the adaptive steps of appendix C, in the formulation of k-diffusion
(MIT). Times are t = -log sigma. Both end at the lowest level above zero, as the reference does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from modules.diffusion.solvers.first_order import euler
from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run, Stepped
from modules.diffusion.solvers.steps import ancestral
from modules.schema import SamplerOptions

RELATIVE, ABSOLUTE = 0.05, 0.0078
"""Error that an adaptive step may have, as a share of the latents and at least."""


def dpm_fast(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """Third-order steps, and lower ones at the end, so that the denoiser is called once per step asked for."""
    calls = len(sigmas) - 1
    begin, end = _ends(sigmas)
    if end <= begin:  # a single level, as with one step: there is no way to divide
        yield from euler(x, sigmas, options, draw)
        return
    count = calls // 3 + 1
    orders = [3] * (count - 2) + [2, 1] if calls % 3 == 0 else [3] * (count - 1) + [calls % 3]
    step = 0
    for index, order in enumerate(orders):
        t, after = (begin + (end - begin) * place / count for place in (index, index + 1))
        aim, up = _noise(t, after, end, options)
        slope = yield from _slope(x, t, step)
        if order == 1:
            x = _first(x, t, aim, slope)
        elif order == 2:
            x = yield from _second(x, t, aim, slope, step + 1, 1 / 2)
        else:
            _, x = yield from _third(x, t, aim, slope, step + 1)
        if up:
            x = x + draw(math.exp(-t), math.exp(-after)) * (up * options.s_noise)
        step += order
        x = yield Stepped(x, math.exp(-after), step - 1)


def dpm_adaptive(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """Steps as long as the difference between a second and a third-order solution allows.

    All pictures of a batch would share their steps and differ from the same pictures alone, so the engine calls it
    with one at a time (`passes.Passes`).
    """
    begin, end = _ends(sigmas)
    if end <= begin:  # a single level, as with one step: there is no way to divide
        yield from euler(x, sigmas, options, draw)
        return
    steps = len(sigmas) - 1
    t, h, before = begin, 0.05, x
    while t < end - 1e-5:
        after = min(end, t + h)
        aim, up = _noise(t, after, end, options)
        step = min(steps - 1, int(steps * (t - begin) / (end - begin)))
        slope = yield from _slope(x, t, step)
        low, high = yield from _third(x, t, aim, slope, step, same=True)
        allowed = (low.abs().maximum(before.abs()) * RELATIVE).clamp(min=ABSOLUTE)
        error = float(((low - high) / allowed).square().mean().sqrt())
        # The controller of Söderlind, integral part alone, as the reference sets it.
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / (1.5 if options.eta else 3)) - 1)
        h *= factor
        if factor >= 0.81:
            before = low
            x = high
            if up:
                x = x + draw(math.exp(-t), math.exp(-after)) * (up * options.s_noise)
            t = after
            x = yield Stepped(x, math.exp(-t), step)


def _ends(sigmas: Sequence[float]) -> tuple[float, float]:
    lowest = next(sigma for sigma in reversed(sigmas) if sigma > 0)
    return -math.log(sigmas[0]), -math.log(lowest)


def _noise(t: float, after: float, end: float, options: SamplerOptions) -> tuple[float, float]:
    """The time to solve to, and the noise that then leads back to `after`."""
    if not options.eta:
        return after, 0.0
    lower = math.exp(-after)
    down, _ = ancestral(math.exp(-t), lower, options.eta)
    aim = min(end, -math.log(down)) if down > 0 else end
    return aim, math.sqrt(max(0.0, lower**2 - math.exp(-2 * aim)))


def _slope(x: Latents, t: float, step: int) -> Run:
    sigma = math.exp(-t)
    return (x - (yield Ask(x, sigma, step))) / sigma


def _first(x: Latents, t: float, after: float, slope: Latents) -> Latents:
    return x - slope * (math.exp(-after) * math.expm1(after - t))


def _second(x: Latents, t: float, after: float, slope: Latents, step: int, share: float) -> Run:
    h = after - t
    middle = t + share * h
    bent = yield from _slope(_first(x, t, middle, slope), middle, step)
    way = math.exp(-after) * math.expm1(h)
    return x - slope * way - (bent - slope) * (way / (2 * share))


def _third(
    x: Latents, t: float, after: float, slope: Latents, step: int, *, same: bool = False
) -> Run:
    """The solutions of second and third order, with points at a third and two thirds of the way."""
    h = after - t
    one, two = t + h / 3, t + 2 * h / 3
    near = yield from _slope(_first(x, t, one, slope), one, step)
    way = math.exp(-after) * math.expm1(h)
    second = x - slope * way - (near - slope) * (way * 1.5)
    curve = math.expm1(2 * h / 3) / (2 * h / 3) - 1
    point = _first(x, t, two, slope) - (near - slope) * (2 * math.exp(-two) * curve)
    far = yield from _slope(point, two, step if same else step + 1)
    rest = math.exp(-after) * (math.expm1(h) / h - 1) * 1.5
    return second, x - slope * way - (far - slope) * rest
