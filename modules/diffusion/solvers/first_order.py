"""Samplers that look once per step and go straight."""

from __future__ import annotations

from collections.abc import Sequence

from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run, Stepped
from modules.diffusion.solvers.steps import ancestral, churn, intervals, towards
from modules.schema import SamplerOptions


def euler(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """Karras et al., arXiv 2206.00364, algorithm 2 without its correction. First order."""
    for step, sigma, lower in intervals(sigmas):
        x, level = churn(x, sigma, len(sigmas) - 1, options, draw)
        denoised = yield Ask(x, level, step)
        x = yield Stepped(towards(x, denoised, level, lower), lower, step)


def euler_ancestral(
    x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw
) -> Run:
    """Euler with fresh noise at each step; eta 0 is DDIM (arXiv 2010.02502), eta 1 DDPM (arXiv 2006.11239)."""
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        down, up = ancestral(sigma, lower, options.eta or 0.0)
        x = towards(x, denoised, sigma, down)
        if up:
            x = x + draw(sigma, lower) * (up * options.s_noise)
        x = yield Stepped(x, lower, step)


def cfg_plus_plus(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """DDIM whose way back follows the negative prompt's noise. Chung et al., "CFG++", arXiv 2406.08070."""
    for step, sigma, lower in intervals(sigmas):
        denoised, negative = yield Ask(x, sigma, step, negative=True)
        down, up = ancestral(sigma, lower, options.eta or 0.0)
        x = denoised + (x - negative) * (down / sigma)
        if up:
            x = x + draw(sigma, lower) * (up * options.s_noise)
        x = yield Stepped(x, lower, step)


def consistency(x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw) -> Run:
    """To the clean picture and back up with fresh noise: latent consistency models, arXiv 2310.04378."""
    for step, sigma, lower in intervals(sigmas):
        x = yield Ask(x, sigma, step)
        if lower:
            x = x + draw(sigma, lower) * (lower * options.s_noise)
        x = yield Stepped(x, lower, step)
