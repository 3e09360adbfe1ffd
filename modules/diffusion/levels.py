"""The noise levels that a model was trained on, and where on the training scale any level between them lies.

Everything in the loop is written for x = clean + sigma * noise (Karras et al., arXiv 2206.00364). A model that was
trained on sqrt(a) * clean + sqrt(1 - a) * noise has sigma = sqrt((1 - a) / a). Importable without torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from modules.diffusion.solvers.protocol import Draw, Latents, Run, Solver
from modules.schema import SamplerOptions

Numbers = npt.NDArray[np.float64]

# The alpha of the last step where the model's own is exactly zero, as in the reference: a sigma cannot be infinite.
ZERO_SNR_ALPHA = 2.0**-24


@dataclass(frozen=True, eq=False)
class Levels:
    """`sigmas[t]` is the noise level of time step t: ascending, float64."""

    sigmas: Numbers

    @cached_property
    def _logs(self) -> Numbers:
        return np.log(self.sigmas)

    @property
    def lowest(self) -> float:
        """Sigma of the first time step."""
        return float(self.sigmas[0])

    @property
    def highest(self) -> float:
        """Sigma of the last time step."""
        return float(self.sigmas[-1])

    @property
    def own(self) -> Levels:
        """These levels on the scale that schedules are laid out on: sigma itself, but for flow matching."""
        return self

    def of_own(self, found: npt.ArrayLike) -> Numbers:
        """Levels on the scale of `own` to sigmas."""
        return np.asarray(found, dtype=np.float64)

    def unit(self, sigma: float) -> float:
        """What unit noise is multiplied by at a level, to be unit noise for the denoiser."""
        return math.sqrt(1 + sigma**2)

    def walk(
        self,
        solver: Solver,
        latents: Latents,
        sigmas: Sequence[float],
        options: SamplerOptions,
        draw: Draw,
        *,
        noisy: bool,
    ) -> Run:
        """The solver at work on `latents` at the first of `sigmas`.

        Args:
            noisy: it draws noise, or is more than a method for one equation.
        """
        return solver(latents, sigmas, options, draw)

    def sigma(self, timestep: npt.ArrayLike) -> Numbers:
        """The level at a time step, also at a fraction of one: straight in log sigma, as k-diffusion has it."""
        places = np.arange(len(self.sigmas))
        return np.exp(np.interp(np.asarray(timestep, dtype=np.float64), places, self._logs))

    def timestep(self, sigma: npt.ArrayLike) -> Numbers:
        """The time step of a level, fractions and all; levels beyond the trained ones are the first or the last."""
        places = np.arange(len(self.sigmas), dtype=np.float64)
        return np.interp(np.log(np.asarray(sigma, dtype=np.float64)), self._logs, places)


def from_config(config: Mapping[str, Any]) -> Levels:
    """The levels of a diffusers scheduler configuration (`beta_schedule`, `rescale_betas_zero_snr` …).

    Raises:
        ValueError: a `beta_schedule` that nobody knows.
    """
    return Levels(_sigmas(_alphas(config)))


def _alphas(config: Mapping[str, Any]) -> Numbers:
    count = int(config.get("num_train_timesteps", 1000))
    first = float(config.get("beta_start", 0.0001))
    last = float(config.get("beta_end", 0.02))
    if (trained := config.get("trained_betas")) is not None:
        betas: Numbers = np.asarray(trained, dtype=np.float64)
    else:
        match config.get("beta_schedule", "linear"):
            case "linear":
                betas = np.linspace(first, last, count, dtype=np.float64)
            case "scaled_linear":
                betas = np.linspace(first**0.5, last**0.5, count) ** 2
            case "squaredcos_cap_v2":  # Nichol and Dhariwal, arXiv 2102.09672
                places = np.arange(count + 1) / count
                bars: Numbers = np.cos((places + 0.008) / 1.008 * np.pi / 2) ** 2
                betas = np.minimum(1 - bars[1:] / bars[:-1], 0.999)
            case unknown:
                raise ValueError(f"beta_schedule {unknown!r}")
    alphas: Numbers = np.cumprod(1 - betas, dtype=np.float64)
    if config.get("rescale_betas_zero_snr"):
        alphas = _zero_terminal_snr(alphas)
    return alphas


def _zero_terminal_snr(alphas: Numbers) -> Numbers:
    """Shifted and scaled so that the last step is noise alone. Lin et al., arXiv 2305.08891, algorithm 1."""
    roots = np.sqrt(alphas)
    rescaled: Numbers = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    rescaled[-1] = ZERO_SNR_ALPHA
    return rescaled


def _sigmas(alphas: Numbers) -> Numbers:
    return np.sqrt((1 - alphas) / alphas)
