"""One generation, from a request to pictures."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from PIL import Image

from modules.diffusion import latents as noise
from modules.diffusion import samplers
from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.denoise import denoise
from modules.diffusion.families import FAMILIES
from modules.diffusion.parts import Parts
from modules.diffusion.previews import Previewer
from modules.diffusion.progress import Progress
from modules.diffusion.timeline import timeline
from modules.errors import UserError
from modules.schema import GenerationRequest, Stage


def generate(
    parts: Parts,
    request: GenerationRequest,
    adapters: Sequence[Adapter] = (),
    report: Callable[[Progress], None] = lambda progress: None,
    *,
    first: int = 0,
    count: int = 1,
    preview: int = 0,
) -> list[Image.Image]:
    """Make `count` pictures together, with the seeds of the request's pictures `first`, `first + 1` …

    The same request gives the same bytes on the same machine; a picture is the same alone as in a batch, but for
    the rounding of other matrix sizes. Whatever the adapters changed in `parts` is put back on every way out.

    Args:
        request: resolved: no field that the model's card can fill is None, the seed is drawn.
        report: called at each change of stage and after each step; may raise `Cancelled` to stop.
        preview: a preview picture every so many steps; 0 is none.

    Raises:
        UserError: an unknown name, a combination that does not exist, memory that does not suffice, or numbers
            that ran out of bounds (the text names the stage).
    """
    width, height, steps, sampler_name = (
        request.width,
        request.height,
        request.steps,
        request.sampler,
    )
    if not (width and height and steps and sampler_name) or request.cfg_scale is None:
        raise ValueError(f"the request is not resolved: {request!r}")
    if request.seed < 0:
        raise ValueError("the seed is not drawn")
    family = FAMILIES[parts.family]
    sampler, schedule = samplers.pick(sampler_name, request.schedule)
    scheduler = samplers.build(sampler, schedule, parts.scheduler_config)
    track = timeline(scheduler, sampler, steps, parts.device)
    sources = noise.generators([request.seed_of(first + index) for index in range(count)])
    ordered = sorted(adapters, key=lambda adapter: adapter.order)
    with ExitStack() as changes:
        for adapter in ordered:
            changes.enter_context(adapter.applied(parts))
        try:
            with torch.inference_mode():
                report(Progress(Stage.ENCODING))
                conditioning = family.encode(parts, request)
                report(Progress(Stage.DENOISING, 0, steps))
                start = noise.noise(sources, family.latent_shape(parts, width, height))
                start = start.to(parts.device) * scheduler.init_noise_sigma
                told = _Steps(parts, track.steps_done, steps, preview, report)
                found = denoise(parts, request, conditioning, start, track, sources, ordered, told)
                _finite(found, Stage.DENOISING)
                report(Progress(Stage.DECODING))
                pixels = family.decode(parts, found)
                _finite(pixels, Stage.DECODING)
                return family.to_images(pixels, width, height)
        except torch.OutOfMemoryError as error:
            raise UserError(
                "error.memory.device", width=width, height=height, count=count, device=parts.device
            ) from error


class _Steps:
    """Turns the loop's calls into progress: counts steps rather than calls, and adds previews when due."""

    def __init__(
        self,
        parts: Parts,
        steps_done: Callable[[int], int],
        steps: int,
        every: int,
        report: Callable[[Progress], None],
    ) -> None:
        self._previewer = Previewer(parts)
        self._steps_done = steps_done
        self._steps = steps
        self._every = every
        self._report = report
        self._shown = 0

    def __call__(self, step: Step) -> None:
        done = self._steps_done(step.index + 1)
        picture = None
        if self._every and done % self._every == 0 and done > self._shown:
            picture = self._previewer.picture(step)
            self._shown = done
        self._report(Progress(Stage.DENOISING, done, self._steps, picture))


def _finite(numbers: torch.Tensor, stage: Stage) -> None:
    if not torch.isfinite(numbers).all():
        raise UserError(f"error.nan.{stage}")
