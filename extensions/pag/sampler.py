"""Gradient estimation: Euler whose direction is corrected by the one before.

Permenter and Yuan, "Interpreting and Improving Diffusion Models from an Optimization Perspective", arXiv:2306.04848,
algorithm 2 with gamma = 2. One look per step.
"""

from __future__ import annotations

from collections.abc import Sequence

from modules.plugins.solvers import Ask, Draw, Latents, Run, SamplerOptions, Stepped, intervals

GAMMA = 2.0


def gradient_estimation(
    x: Latents, sigmas: Sequence[float], options: SamplerOptions, draw: Draw
) -> Run:
    """The noise that is followed is gamma * (this look's) + (1 - gamma) * (the look's before)."""
    before = None
    for step, sigma, lower in intervals(sigmas):
        denoised = yield Ask(x, sigma, step)
        noise = (x - denoised) / sigma
        followed = noise if before is None else noise * GAMMA + before * (1 - GAMMA)
        before = noise
        x = yield Stepped(x + followed * (lower - sigma), lower, step)
