"""A sampler and a schedule laid out for a number of steps: the noise levels, the time steps, the calls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from modules.diffusion import spacing
from modules.diffusion.families import FAMILIES
from modules.diffusion.levels import Levels
from modules.diffusion.parts import Parts
from modules.diffusion.samplers import Sampler, spacing_of
from modules.diffusion.schedules import Schedule
from modules.diffusion.solvers.protocol import Ask, Draw, Latents, Run
from modules.diffusion.spacing import Span
from modules.errors import UserError
from modules.schema import SamplerOptions


@dataclass(frozen=True, eq=False)
class Timeline:
    """Latents at `sigmas[i]` are clean + sigmas[i] * noise."""

    sampler: Sampler
    options: SamplerOptions
    """With the sampler's own `eta` where the request has none."""
    levels: Levels
    sigmas: tuple[float, ...]
    """Noise level before each step, and after the last one: one more than there are steps."""
    calls: tuple[int, ...]
    """For each call of the denoiser the step, 0-based, that it belongs to; an estimate where the sampler is adaptive."""
    noise_scale: float
    """What unit noise is multiplied by where a picture begins with noise alone; with a picture it is `sigmas[0]`."""
    scale: float = 1.0
    """What the latents are multiplied by at the end."""

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.sigmas) - 1

    @property
    def timesteps(self) -> tuple[float, ...]:
        """Of each step's begin, on the training scale (0 to 999), with fractions."""
        return tuple(self.timestep(sigma) for sigma in self.sigmas[:-1])

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest level that any step may have, whatever their number."""
        low, high = self.options.sigma_min, self.options.sigma_max
        ends = (self.levels.lowest, self.levels.highest, *(s for s in self.sigmas if s > 0))
        return min(*ends, low or ends[0]), max(*ends, high or ends[0])

    def timestep(self, sigma: float) -> float:
        """The time step of a level, on the training scale, with fractions."""
        return float(self.levels.timestep(sigma))

    def run(self, latents: Latents, draw: Draw) -> Run:
        """The sampler at work on `latents` at the first level; `modules.diffusion.solvers` says what it yields."""
        noisy = self.sampler.noisy or self.options.eta or self.options.s_churn
        return self.levels.walk(
            self.sampler.solver, latents, self.sigmas, self.options, draw, noisy=bool(noisy)
        )

    def steps_done(self, calls: int) -> int:
        """Steps that are begun after so many calls of the denoiser: 1 to `steps`."""
        return self.calls[min(calls, len(self.calls)) - 1] + 1

    def tail(self, count: int) -> Timeline:
        """Its last `count` steps: for pictures that begin with another one instead of noise alone."""
        return self._part(self.sigmas[self.steps - count :], self.scale)

    def head(self, count: int) -> Timeline:
        """Its first `count` steps: what comes out is noisy still, at the level `sigmas[count]`."""
        return self._part(self.sigmas[: count + 1], self.scale if count == self.steps else 1.0)

    def _part(self, sigmas: tuple[float, ...], scale: float) -> Timeline:
        if not 2 <= len(sigmas) <= len(self.sigmas):
            raise ValueError(f"{len(sigmas) - 1} of {self.steps} steps")
        noise_scale = self.noise_scale if sigmas[0] == self.sigmas[0] else sigmas[0]
        part = replace(self, sigmas=sigmas, calls=(), noise_scale=noise_scale, scale=scale)
        return replace(part, calls=_calls(part))


def timeline(
    parts: Parts, sampler: Sampler, schedule: Schedule, steps: int, options: SamplerOptions
) -> Timeline:
    """Lay out `steps` steps for a model.

    Raises:
        UserError: the sampler cannot take so many, or the levels asked for are the wrong way round.
    """
    return lay_out(
        FAMILIES[parts.family].levels(parts),
        sampler,
        schedule,
        steps,
        options,
        config=parts.scheduler_config,
        family=parts.family,
    )


def lay_out(
    levels: Levels,
    sampler: Sampler,
    schedule: Schedule,
    steps: int,
    options: SamplerOptions,
    *,
    config: Mapping[str, Any] | None = None,
    family: str = "sd1",
) -> Timeline:
    """As `timeline`, for a model of which only the noise levels are known.

    Args:
        levels: the model's.
        config: the model's scheduler configuration, for the schedule "default".
        family: the model's, for schedules that were made for one.

    Raises:
        UserError: the sampler cannot take so many, or the levels asked for are the wrong way round.
    """
    config = config or {}
    if options.eta is None:
        options = options.model_copy(update={"eta": sampler.eta})
    discard = sampler.discard_next_to_last or options.discard_next_to_last_sigma
    span = Span(levels.own, steps + discard, options, config, family, sampler.padded)
    if span.low >= span.high:
        raise UserError("error.schedule.range", low=span.low, high=span.high)
    try:
        chosen = spacing_of(sampler, schedule)
        found = [float(sigma) for sigma in levels.of_own(chosen(span))]
        if not all(0 < sigma < math.inf for sigma in found):
            raise ValueError("one of them would have no noise level above zero.")
        if any(later >= sooner for sooner, later in pairwise(found)):
            raise ValueError("two of them would have the same noise level.")
    except (ValueError, IndexError, ArithmeticError) as error:
        raise UserError(
            "error.sampler.steps", sampler=sampler.label, steps=steps, why=str(error)
        ) from error
    if discard:
        del found[-1]
    last, scale = 0.0, 1.0
    ends_early = sampler.to_first_level and not config.get("set_alpha_to_one", True)
    if ends_early and levels.lowest < found[-1]:
        # Then the model's own scale is what counts: a little noise is part of its picture.
        last = levels.lowest
        scale = (1 + last**2) ** -0.5
    unit = sampler.unit_start
    if spacing_of(sampler, schedule) is spacing.model:
        unit |= sampler.padded or config.get("timestep_spacing") == "leading"
    noise_scale = levels.unit(found[0]) if unit else found[0]
    track = Timeline(sampler, options, levels, (*found, last), (), noise_scale, scale)
    return replace(track, calls=_calls(track))


def _calls(track: Timeline) -> tuple[int, ...]:
    """By letting the sampler run on plain numbers."""
    if track.sampler.adaptive:
        return tuple(step for step in range(track.steps) for _ in range(3))
    return tuple(_asked(track.run(1.0, lambda sigma, lower: 0.0)))


def _asked(run: Run) -> Iterator[int]:
    answer: Any = None
    while True:
        try:
            event = run.send(answer)
        except StopIteration:
            return
        if isinstance(event, Ask):
            yield event.step
            answer = (0.0, 0.0) if event.negative else 0.0
        else:
            answer = event.x
