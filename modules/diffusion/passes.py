"""One run of the sampler over a batch, made to hold, and counted for whoever waits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from modules.diffusion import latents as noising
from modules.diffusion import samplers
from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.conditioning import Conditioning
from modules.diffusion.denoise import Handover, denoise
from modules.diffusion.families import FAMILIES
from modules.diffusion.inpaint import Keep
from modules.diffusion.memory import Remedy, offloaded
from modules.diffusion.parts import Parts
from modules.diffusion.precision import finite
from modules.diffusion.previews import Previewer
from modules.diffusion.progress import Progress
from modules.diffusion.prompts.schedule import Pass
from modules.diffusion.samplers import Sampler
from modules.diffusion.stages import OutOfBounds, Stages
from modules.diffusion.start import Start
from modules.diffusion.timeline import Timeline, timeline
from modules.schema import GenerationRequest, Stage


@dataclass(frozen=True, eq=False)
class Sampling:
    """What a run of the sampler needs beside the model."""

    request: GenerationRequest
    """Of this pass."""
    conditioning: Conditioning
    start: Start
    track: Timeline | None
    """The steps that are run; None: none of them."""
    run: Pass
    """What prompts are read for."""
    refiner: Parts | None = None


class Counter:
    """Turns the loop's looks into progress over all passes: counts steps rather than looks, adds previews when due."""

    def __init__(
        self, parts: Parts, total: int, every: int, report: Callable[[Progress], None]
    ) -> None:
        self._previewer = Previewer(parts)
        self._total = total
        self._every = every
        self._report = report
        self._base = 0
        self._shown = 0

    def begin(self) -> None:
        """A run of the sampler begins."""
        self._report(Progress(Stage.DENOISING, self._base, self._total))

    def end(self, steps: int) -> None:
        """A run of so many steps is over."""
        self._base += steps

    def more(self, steps: int) -> None:
        """So many more steps than was thought are to be done."""
        self._total += steps

    def restart(self, base: int) -> None:
        """What was done since `base` counts for nothing."""
        self._base = self._shown = base

    @property
    def base(self) -> int:
        """Steps of all runs that are over."""
        return self._base

    def __call__(self, step: Step) -> None:
        """After each look of the sampler."""
        done = self._base + step.step + 1
        picture = None
        if self._every and done % self._every == 0 and done > self._shown:
            picture = self._previewer.picture(step)
            self._shown = done
        self._report(Progress(Stage.DENOISING, done, self._total, picture))
        # After the report: who stops does so whatever the numbers are.
        if not finite(step.latents):
            raise OutOfBounds


def lay_out(
    parts: Parts, request: GenerationRequest, start: Start, more: Sequence[Sampler] = ()
) -> Timeline | None:
    """The steps of a pass that are run; None: none of them.

    Args:
        more: rows that extensions add to the table of samplers.

    Raises:
        UserError: an unknown name, or steps that the sampler cannot take.
    """
    sampler, schedule = samplers.pick(request.sampler or "", request.schedule, more)
    total, count = start.steps(request.steps or 0)
    if count == 0:
        return None
    track = timeline(parts, sampler, schedule, total, request.sampler_options)
    return track.tail(count) if count < track.steps else track


class Passes:
    """Runs of the sampler with one model and one set of adapters, for the pictures `first` … of a request."""

    def __init__(
        self, stages: Stages, adapters: Sequence[Adapter], counter: Counter, first: int, count: int
    ) -> None:
        self._stages = stages
        self._adapters = adapters
        self._counter = counter
        self._first = first
        self._count = count
        self._alone = False

    def run(self, what: Sampling) -> torch.Tensor:
        """Latents without noise, (count, channels, height, width).

        Raises:
            UserError: numbers ran out of bounds.
            torch.OutOfMemoryError: what was tried against it did not suffice.
        """
        parts = self._stages.parts
        track = what.track
        if track is None:
            assert what.start.clean is not None
            return _each(what.start.clean, self._count)
        refiners = [what.refiner] if what.refiner is not None else []
        base = self._counter.base
        # A sampler that chooses its steps would choose them for the batch: each picture is to be what it is alone.
        single = track.sampler.adaptive
        if self._alone or single:
            self._counter.more(track.steps * (self._count - 1))

        def work() -> torch.Tensor:
            self._counter.restart(base)
            batches = (
                [(index, 1) for index in range(self._count)]
                if self._alone or single
                else [(0, self._count)]
            )
            return torch.cat([self._batch(what, track, offset, n) for offset, n in batches])

        return self._stages.guarded(
            Stage.DENOISING,
            [each.unet for each in (parts, *refiners)],
            work,
            finite,
            self._remedies(track, refiners),
            small=False,
            others=refiners,
        )

    def _batch(self, what: Sampling, track: Timeline, offset: int, count: int) -> torch.Tensor:
        """Pictures `offset` … of the batch. Begins with new noise, so it can be done again."""
        stages, request, start = self._stages, what.request, what.start
        parts, family = stages.parts, stages.family
        noise = noising.sources(request, self._first + offset, count)
        shape = family.latent_shape(parts, request.width or 0, request.height or 0)
        if start.clean is not None:
            shape = (shape[0], *start.clean.shape[-2:])
        elif start.shown is not None:
            shape = (shape[0], *start.shown.shape[-2:])
        drawn = noise.start(shape, family.scale(parts)).to(parts.device)
        own = start.of(offset, count)
        latents = own.first(drawn, track.noise_scale if own.clean is None else track.sigmas[0])
        adapters = list(self._adapters)
        if own.keeps and own.mask is not None and own.clean is not None:
            kept = own.first_clean(drawn)
            adapters.append(Keep(_each(kept, count), own.mask, own.soft))
        self._counter.begin()
        found = denoise(
            parts,
            request,
            what.conditioning,
            latents,
            track,
            noise,
            sorted(adapters, key=lambda adapter: adapter.order),
            self._counter,
            extra_channels=None if own.shown is None else _each(own.shown, count),
            handover=_handover(what, track),
        )
        self._counter.end(track.steps)
        if own.keeps and own.mask is not None and own.clean is not None and own.soft is None:
            # Samplers that end with a little noise would leave some where nothing is to change.
            found = found * own.mask + _each(own.clean, count) * (1 - own.mask)
        return found

    def _remedies(self, track: Timeline, refiners: Sequence[Parts]) -> list[Remedy]:
        resting = [
            encoder for each in (self._stages.parts, *refiners) for encoder in each.text_encoders
        ]
        offload = Remedy("notice.memory.offload", lambda: offloaded(resting))
        if self._count == 1 or self._alone or track.sampler.adaptive:
            return [offload]
        return [Remedy("notice.memory.batch", lambda: self._one_by_one(track)), offload]

    @contextmanager
    def _one_by_one(self, track: Timeline) -> Iterator[None]:
        self._alone = True  # in a second pass too: it is the larger one
        self._counter.more(track.steps * (self._count - 1))
        yield


def _handover(what: Sampling, track: Timeline) -> Handover | None:
    """Where the refiner takes over: at the first step that lies beyond its share of the trained noise levels.

    That is how the A1111 family counts: (999 - time step) / 1000 is how much of the way is done.
    """
    refiner, options = what.refiner, what.request.refiner
    if refiner is None or options is None:
        return None
    count = len(track.levels.sigmas)
    for index, timestep in enumerate(track.timesteps):
        if (count - 1 - timestep) / count > options.switch_at:

            def take() -> tuple[Parts, Conditioning]:
                family = FAMILIES[refiner.family]
                return refiner, family.encode(refiner, what.request, what.run)

            return Handover(index, take)
    return None


def _each(latents: torch.Tensor, count: int) -> torch.Tensor:
    """(1, ...) or (count, ...) to (count, ...)."""
    return latents if len(latents) == count else latents.expand(count, *latents.shape[1:])
