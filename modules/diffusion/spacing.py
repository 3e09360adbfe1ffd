"""How the steps are spread over the noise levels: one small function per schedule, all of one signature.

    spacing(span) -> sigmas, descending, one per step; the zero at the end is not among them

Importable without torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modules.diffusion.flow import Shares, shifted
from modules.diffusion.levels import Levels, Numbers
from modules.schema import SamplerOptions


@dataclass(frozen=True)
class Span:
    """What a schedule may look at."""

    levels: Levels
    steps: int
    options: SamplerOptions = field(default_factory=SamplerOptions)
    config: Mapping[str, Any] = field(default_factory=dict)
    """The model's scheduler configuration."""
    family: str = "sd1"
    padded: bool = False
    """The model's own spacing is laid out for one step more than there are, as multistep solvers read it."""

    @property
    def low(self) -> float:
        """The lowest sigma: the request's, else the model's."""
        return self.options.sigma_min or self.levels.lowest

    @property
    def high(self) -> float:
        """The highest sigma: the request's, else the model's."""
        return self.options.sigma_max or self.levels.highest


Spacing = Callable[[Span], Numbers]


def karras(span: Span) -> Numbers:
    """Karras et al., arXiv 2206.00364, equation 5; rho is 7."""
    return _karras(span.high, span.low, span.steps, span.options.rho or 7.0)


def exponential(span: Span) -> Numbers:
    """Evenly in log sigma."""
    return _exponential(span.high, span.low, span.steps)


def polyexponential(span: Span) -> Numbers:
    """A power of an even ramp in log sigma; rho is 1, which is `exponential`."""
    ramp = np.linspace(1, 0, span.steps) ** (span.options.rho or 1.0)
    return np.exp(math.log(span.low) + ramp * math.log(span.high / span.low))


def uniform(span: Span) -> Numbers:
    """Evenly in time, from the last time step to the first."""
    return span.levels.sigma(np.linspace(len(span.levels.sigmas) - 1, 0, span.steps))


def normal(span: Span) -> Numbers:
    """As `uniform`, between the time steps of `low` and `high`."""
    first, last = span.levels.timestep([span.high, span.low])
    return span.levels.sigma(np.linspace(first, last, span.steps))


def sgm_uniform(span: Span) -> Numbers:
    """Evenly in time with the last point left out, as Stability's generative-models does it."""
    first, last = span.levels.timestep([span.high, span.low])
    return span.levels.sigma(np.linspace(first, last, span.steps + 1)[:-1])


def kl_optimal(span: Span) -> Numbers:
    """Evenly in arctan sigma. Sabour et al., "Align Your Steps", arXiv 2404.14507, appendix."""
    share = np.arange(span.steps) / span.steps
    return np.tan(share * math.atan(span.low) + (1 - share) * math.atan(span.high))


# The published ten-step schedules of Align Your Steps, arXiv 2404.14507, for Stable Diffusion 1.5 and SDXL.
_ALIGNED = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
_ALIGNED_XL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)


def align_your_steps(span: Span) -> Numbers:
    """The schedules optimised for SD 1.5 and SDXL, straight in log sigma for other numbers of steps."""
    known = _ALIGNED_XL if span.family.startswith("sdxl") else _ALIGNED
    places = np.linspace(0, len(known) - 1, span.steps)
    return np.exp(np.interp(places, np.arange(len(known)), np.log(known)))


def simple(span: Span) -> Numbers:
    """Every so many of the trained levels, from the last one down."""
    stride = len(span.levels.sigmas) / span.steps
    picked = [-(1 + int(index * stride)) for index in range(span.steps)]
    return span.levels.sigmas[picked]


def ddim(span: Span) -> Numbers:
    """Every so many of the trained levels, from the second one up. Song et al., arXiv 2010.02502, with offset 1."""
    count = len(span.levels.sigmas)
    stride = max(count // span.steps, 1)
    picked = (1 + stride * np.arange(span.steps))[::-1]
    return span.levels.sigmas[np.minimum(picked, count - 1)]


def beta(span: Span) -> Numbers:
    """Quantiles of a beta distribution (0.6, 0.6) over sigma. Lee et al., arXiv 2407.12173."""
    one, two = span.options.beta_alpha or 0.6, span.options.beta_beta or 0.6
    return _beta(span.high, span.low, span.steps, one, two)


def turbo(span: Span) -> Numbers:
    """Whole time steps counted from the end: 999, 749, 499, 249 for four. What SD Turbo was distilled for."""
    return span.levels.sigma(_trailing(len(span.levels.sigmas), span.steps))


def lcm(span: Span) -> Numbers:
    """Of the 50 time steps that latent consistency models are distilled at. Luo et al., arXiv 2310.04378.

    Raises:
        ValueError: more steps than those.
    """
    count, grid = len(span.levels.sigmas), int(span.config.get("original_inference_steps", 50))
    if span.steps > grid:
        raise ValueError(f"it was trained for {grid} at the most.")
    trained = (np.arange(1, grid + 1) * (count // grid) - 1)[::-1]
    return span.levels.sigmas[
        trained[np.floor(np.linspace(0, grid, span.steps, endpoint=False)).astype(int)]
    ]


def model(span: Span) -> Numbers:
    """As the model's scheduler configuration says (`timestep_spacing`, `steps_offset`, `use_karras_sigmas` …).

    The spacings are those of arXiv 2305.08891, table 2.
    """
    if isinstance(span.levels, Shares):
        return _flow(span)
    count, steps, pad = len(span.levels.sigmas), span.steps, int(span.padded)
    match span.config.get("timestep_spacing", "linspace"):
        case "leading":
            stride, offset = count // (steps + pad), int(span.config.get("steps_offset", 0))
            places: Numbers = np.arange(pad, steps + pad, dtype=np.float64)[::-1] * stride + offset
        case "trailing":
            places = _trailing(count, steps)
        case _:
            places = np.linspace(0, count - 1, steps + pad)[pad:][::-1]
            places = places.round() if pad else places
    return _spread(span, span.levels.sigma(np.minimum(places, count - 1)))


def _flow(span: Span) -> Numbers:
    """Evenly from the last share of noise to the first, and shifted: what flow matching models were made for.

    The shift acts twice on the last one, as it is the shifted first level already; so diffusers has it.
    """
    shares = shifted(
        np.linspace(span.high, span.low, span.steps), float(span.config.get("shift", 1.0))
    )
    if terminal := span.config.get("shift_terminal"):
        shares = 1 - (1 - shares) * ((1 - float(terminal)) / (1 - shares[-1]))
    return _spread(span, shares)


def _spread(span: Span, sigmas: Numbers) -> Numbers:
    if span.config.get("use_karras_sigmas"):
        return _karras(sigmas[0], sigmas[-1], span.steps, 7.0)
    if span.config.get("use_exponential_sigmas"):
        return _exponential(sigmas[0], sigmas[-1], span.steps)
    if span.config.get("use_beta_sigmas"):
        return _beta(sigmas[0], sigmas[-1], span.steps, 0.6, 0.6)
    return sigmas


def _trailing(count: int, steps: int) -> Numbers:
    places: Numbers = np.round(np.arange(count, 0, -count / steps)[:steps]) - 1
    return places


def _karras(high: float, low: float, steps: int, rho: float) -> Numbers:
    ramp = np.linspace(0, 1, steps)
    found: Numbers = (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return found


def _exponential(high: float, low: float, steps: int) -> Numbers:
    return np.exp(np.linspace(math.log(high), math.log(low), steps))


def _beta(high: float, low: float, steps: int, one: float, two: float) -> Numbers:
    shares = [beta_quantile(1 - share, one, two) for share in np.linspace(0, 1, steps)]
    return low + np.array(shares) * (high - low)


def beta_quantile(share: float, one: float, two: float) -> float:
    """Where the beta distribution (one, two) has `share` of its weight below, by halving."""
    if share <= 0 or share >= 1:
        return float(share >= 1)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _beta_share(middle, one, two) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_share(x: float, one: float, two: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (one + 1) / (one + two + 2):
        return 1 - _beta_share(1 - x, two, one)
    value = 0.0
    for index in range(40, 0, -1):
        half = index // 2
        if index % 2:
            part = -(one + half) * (one + two + half) / ((one + 2 * half) * (one + 2 * half + 1))
        else:
            part = half * (two - half) / ((one + 2 * half - 1) * (one + 2 * half))
        value = part * x / (1 + value)
    front = one * math.log(x) + two * math.log1p(-x) - math.log(one)
    gammas = math.lgamma(one + two) - math.lgamma(one) - math.lgamma(two)
    return math.exp(front + gammas) / (1 + value)
