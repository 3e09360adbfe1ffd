"""What several solvers share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from modules.diffusion.solvers.protocol import Draw, Latents
from modules.schema import SamplerOptions


def intervals(sigmas: Sequence[float]) -> Iterator[tuple[int, float, float]]:
    """(step, sigma at its begin, sigma at its end)."""
    for index, (sigma, lower) in enumerate(pairwise(sigmas)):
        yield index, sigma, lower


def ancestral(sigma: float, lower: float, eta: float) -> tuple[float, float]:
    """How far down to go without noise, and how much noise then brings the level up to `lower`.

    With eta 1 the noise is that of the forward process given the clean picture: the posterior of DDPM (Ho et al.,
    arXiv 2006.11239), equation 16 of DDIM (Song et al., arXiv 2010.02502) written in sigma.
    """
    up = min(lower, eta * lower * math.sqrt(max(0.0, 1 - (lower / sigma) ** 2)))
    return math.sqrt(max(0.0, lower**2 - up**2)), up


def churn(
    x: Latents, sigma: float, steps: int, options: SamplerOptions, draw: Draw
) -> tuple[Latents, float]:
    """Raise the level by fresh noise before a step. Karras et al., arXiv 2206.00364, algorithm 2."""
    top = math.inf if options.s_tmax is None else options.s_tmax
    if not (options.s_churn > 0 and options.s_tmin <= sigma <= top):
        return x, sigma
    raised = sigma * (1 + min(options.s_churn / steps, math.sqrt(2) - 1))
    return x + draw(raised, sigma) * (options.s_noise * math.sqrt(raised**2 - sigma**2)), raised


def towards(x: Latents, denoised: Latents, sigma: float, lower: float) -> Latents:
    """The straight way from `sigma` to `lower` when the clean picture is `denoised`: Euler, and DDIM, in sigma."""
    if lower == 0:
        return denoised
    return denoised + (x - denoised) * (lower / sigma)
