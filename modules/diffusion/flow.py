"""Flow matching: models that were trained on straight paths (1 - s) * clean + s * noise, in and out of sigma.

Liu et al., arXiv 2209.03003; Lipman et al., arXiv 2210.02747; Esser et al., arXiv 2403.03206 (Stable Diffusion 3).

Divided by 1 - s the path is clean + sigma * noise with sigma = s / (1 - s), so everything around the loop stays as it
is. Three things need care:

- Where s is 1 there is nothing but noise and sigma is infinite. `TOP` stands for it: there the model sees exactly the
  noise, at exactly the time step of s = 1.
- Methods that integrate over sigma lose everything on a step down from `TOP`. On the straight path the equation has
  the same form, dx/ds = (x - clean) / s, so a sampler without fresh noise walks there (`walk`); with the step from
  s = 1 it is the sampler that it is elsewhere, to the last bit of the arithmetic.
- Schedules are laid out over s (`Shares`), on which all published ones are meant for these models.

Importable without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from modules.diffusion.levels import Levels, Numbers
from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run, Solver
from modules.errors import UserError
from modules.schema import SamplerOptions

if TYPE_CHECKING:
    import torch

    from modules.diffusion.parts import Parts

TOP = 1e4
"""The sigma that stands for s = 1."""
_TOP_SHARE = TOP / (1 + TOP)
TIMES = 1000.0
"""The denoiser's time step is s times this."""


class Shares(Levels):
    """Levels as shares of noise s, from almost 0 to 1: what schedules look at."""


@dataclass(frozen=True, eq=False)
class FlowLevels(Levels):
    """`sigmas[t - 1]` is the level of the whole time step t before the shift: ascending, the last one is `TOP`."""

    @cached_property
    def own(self) -> Levels:
        """The same levels as shares of noise."""
        return Shares(np.array([share(sigma) for sigma in self.sigmas]))

    def of_own(self, found: npt.ArrayLike) -> Numbers:
        """Shares of noise to sigmas.

        Raises:
            UserError: a share above 1: the schedule was made for another kind of model.
        """
        shares = np.asarray(found, dtype=np.float64)
        if len(shares) and shares.max() > 1 + 1e-6:
            raise UserError("error.schedule.flow", found=float(shares.max()))
        return np.array([to_sigma(float(each)) for each in shares])

    def sigma(self, timestep: npt.ArrayLike) -> Numbers:
        """The level at a time step from 0 to 1000, which is s times 1000."""
        shares = np.asarray(timestep, dtype=np.float64) / TIMES
        return np.vectorize(to_sigma, otypes=[np.float64])(shares)

    def timestep(self, sigma: npt.ArrayLike) -> Numbers:
        """The denoiser's time step at a level: 1000 where there is noise alone."""
        return np.vectorize(share, otypes=[np.float64])(np.asarray(sigma)) * TIMES

    def unit(self, sigma: float) -> float:
        """Times this, unit noise is unit noise for the denoiser."""
        return 1 / rest(sigma)

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
        """On the straight path, if the solver adds no noise of its own."""
        if noisy:
            return solver(latents, sigmas, options, draw)
        return _straight(solver, latents, sigmas, options)


def share(sigma: float) -> float:
    """The share of noise s at a level."""
    return 1.0 if sigma >= TOP else sigma / (1 + sigma)


def rest(sigma: float) -> float:
    """What clean + sigma * noise is multiplied by to lie on the straight path: 1 - s."""
    return 1 / TOP if sigma >= TOP else 1 / (1 + sigma)


def to_sigma(noise: float) -> float:
    """The level at a share of noise."""
    return TOP if noise >= _TOP_SHARE else noise / (1 - noise)


def levels(parts: Parts) -> FlowLevels:
    """The noise levels that the model was trained on."""
    return from_config(parts.scheduler_config)


def from_config(config: Mapping[str, Any]) -> FlowLevels:
    """The levels of the configuration of a flow matching scheduler of diffusers (`shift`).

    Raises:
        UserError: a shift that depends on the picture's size: no model of the families that walk here has one.
    """
    if config.get("use_dynamic_shifting"):
        raise UserError("error.schedule.dynamic")
    count = int(config.get("num_train_timesteps", 1000))
    shares = shifted(np.arange(1, count + 1) / count, float(config.get("shift", 1.0)))
    return FlowLevels(np.array([to_sigma(float(each)) for each in shares]))


def shifted(shares: Numbers, shift: float) -> Numbers:
    """More steps where there is much noise, as large pictures need it. arXiv 2403.03206, equation 23."""
    found: Numbers = shift * shares / (1 + (shift - 1) * shares)
    return found


def model_input(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """What the denoiser sees of `x` = clean + sigma * noise."""
    return x * rest(sigma)


def to_denoised(parts: Parts, x: torch.Tensor, answer: torch.Tensor, sigma: float) -> torch.Tensor:
    """The clean latents that the denoiser's `answer`, the velocity noise - clean, stands for."""
    return x * rest(sigma) - answer * share(sigma)


def _straight(
    solver: Solver, latents: Latents, sigmas: Sequence[float], options: SamplerOptions
) -> Run:
    """The solver on the straight path; what it says goes out in sigma, and answers come back in."""
    run = solver(latents * rest(sigmas[0]), [share(each) for each in sigmas], options, _no_noise)
    answer: Any = None
    while True:
        try:
            event = run.send(answer)
        except StopIteration:
            return
        sigma = to_sigma(event.sigma)
        said = replace(event, x=event.x / rest(sigma), sigma=sigma)
        answer = yield said
        if not isinstance(event, Ask):
            answer = answer * rest(sigma)


def _no_noise(sigma: float, lower: float) -> Latents:
    raise ValueError("a sampler that draws noise whatever eta is has to say so (Sampler.noisy)")
