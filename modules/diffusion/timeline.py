"""A scheduler made ready for a number of steps, with the noise level of each call of the denoiser."""

import inspect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from modules.diffusion.samplers import Sampler
from modules.errors import UserError


@dataclass(frozen=True)
class Timeline:
    """`scheduler.timesteps` are the calls of the denoiser: about two per step for samplers of second order."""

    scheduler: Any
    steps: int
    sigmas: tuple[float, ...]
    """Noise level at each call, where the picture's is 1: sqrt((1 - a) / a) for a = alpha_cumprod."""
    draws: bool
    """The sampler adds noise on the way and takes a generator for it."""

    def steps_done(self, calls: int) -> int:
        """Steps, of those asked for, that are begun after so many calls of the denoiser: 1 to `steps`."""
        return math.ceil(calls * self.steps / len(self.sigmas))


def timeline(scheduler: Any, sampler: Sampler, steps: int, device: torch.device) -> Timeline:
    """Prepare `scheduler` for `steps` steps.

    Raises:
        UserError: the sampler cannot take so many, or so few.
    """
    try:
        scheduler.set_timesteps(steps, device=device)
    except (ValueError, IndexError) as error:
        raise UserError(
            "error.sampler.steps", sampler=sampler.label, steps=steps, why=str(error)
        ) from error
    if hasattr(scheduler, "set_begin_index"):
        # Else a class looks its first timestep up by value, and where rounding made two alike it takes the second.
        scheduler.set_begin_index(0)
    alphas = scheduler.alphas_cumprod.cpu().double().numpy()
    at = np.interp(scheduler.timesteps.cpu().double().numpy(), np.arange(len(alphas)), alphas)
    sigmas = np.sqrt((1 - at) / np.maximum(at, 1e-10))
    draws = "generator" in inspect.signature(scheduler.step).parameters
    return Timeline(scheduler, steps, tuple(float(sigma) for sigma in sigmas), draws)
