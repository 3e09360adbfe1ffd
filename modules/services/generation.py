"""The story of one job: names → model → pictures → files. Runs in the worker."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from modules.errors import LimitError, StorageError
from modules.imaging import metadata
from modules.imaging.infotext import PictureFacts
from modules.imaging.pictures import webp
from modules.schema import (
    Event,
    GenerationRequest,
    ImageSaved,
    Job,
    Limits,
    ModelCard,
    Stage,
    StageChanged,
    StepDone,
    Warned,
)
from modules.services.disk import write_passing
from modules.services.outputs import Outputs

Report = Callable[[Event], None]


class StepReport(Protocol):
    """What `diffusion.generate` tells at every stage change and step (`modules.diffusion.pipeline.Progress`)."""

    @property
    def stage(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def preview(self) -> Image.Image | None: ...


class Generate(Protocol):
    """`modules.diffusion.pipeline.generate`."""

    def __call__(
        self,
        parts: Any,
        request: GenerationRequest,
        adapters: Sequence[Any],
        report: Callable[[Any], None],
        *,
        first: int,
        count: int,
        preview: int,
    ) -> Sequence[Image.Image]: ...


class ModelSource(Protocol):
    """`modules.library.cache.ModelCache`."""

    def acquire(self, card: ModelCard) -> AbstractContextManager[Any]: ...


class Finishing(Protocol):
    """`modules.plugins.Finisher`."""

    def finish(self, image: Image.Image, request: GenerationRequest, index: int) -> Image.Image: ...


class Extensions(Protocol):
    """What `modules.plugins.Plugins` does for a job; its errors name the extension."""

    def check(self, request: GenerationRequest) -> GenerationRequest: ...
    def adapters_for(self, request: GenerationRequest, parts: Any) -> Sequence[Any]: ...
    def finishers_for(self, request: GenerationRequest) -> Sequence[Finishing]: ...


class Names(Protocol):
    """`modules.services.names.SamplerNames`: what samplers and schedules are called."""

    def canonical(self, sampler: str, schedule: str | None, fallback: str) -> tuple[str, str]: ...
    def labels(self, sampler: str, schedule: str) -> tuple[str, str]: ...


@dataclass(frozen=True)
class Previews:
    """Where live previews go and how often: every so many steps, 0 is never."""

    folder: Path
    every: int = 1


class GenerationService:
    """Runs jobs, one after the other. What it needs is handed in; nothing of it is kept between jobs but the models."""

    def __init__(
        self,
        *,
        find_model: Callable[[str | None], ModelCard],
        cache: ModelSource,
        plugins: Extensions,
        outputs: Outputs,
        hashes: Callable[[ModelCard], str],
        names: Names,
        generate: Generate,
        limits: Limits,
        previews: Previews,
        version: str,
    ) -> None:
        self._find_model = find_model
        self._cache = cache
        self._plugins = plugins
        self._outputs = outputs
        self._hashes = hashes
        self._names = names
        self._generate = generate
        self._limits = limits
        self._previews = previews
        self._version = version

    def warm_up(self) -> str:
        """Load the default model, so that the first job need not; its name."""
        card = self._find_model(None)
        with self._cache.acquire(card):
            return card.name

    def run(self, job: Job, report: Report) -> None:
        """Make the pictures of a job and save each; those that an earlier attempt saved are kept.

        Raises:
            UserError: what is wrong with the request, the model, an extension or the disk.
            Cancelled: `report` raised it; pictures that were finished by then are saved.
        """
        card = self._find_model(job.request.model)
        request = resolve(job.request, card, self._limits, self._names)
        request = self._plugins.check(request)
        job = job.model_copy(update={"request": request})
        saved = [self._outputs.find(job, index) for index in range(request.pictures)]
        for event in saved:
            if event is not None:
                report(event)
        if all(saved):
            return
        report(StageChanged(stage=Stage.LOADING, batches=request.batch_count))
        with self._cache.acquire(card) as parts:
            story = _Story(self, job, card, parts, report)
            for batch in range(request.batch_count):
                first = batch * request.batch_size
                missing = [
                    index for index in range(first, first + request.batch_size) if not saved[index]
                ]
                if missing:
                    story.batch(batch, first, missing)

    def facts(self, request: GenerationRequest, card: ModelCard) -> PictureFacts:
        """What the text in the picture says beside the request."""
        sampler, schedule = self._names.labels(request.sampler or "", request.schedule or "")
        return PictureFacts(
            model=card.name,
            model_hash=self._hashes(card),
            sampler=sampler,
            schedule=schedule,
            version=f"Noisette {self._version}",
            extras=_flat(request.extras),
        )


class _Story:
    """One job while its model is held."""

    def __init__(
        self, service: GenerationService, job: Job, card: ModelCard, parts: Any, report: Report
    ) -> None:
        self._service = service
        self._job = job
        self._parts = parts
        self._report = report
        self._began = time.monotonic()
        self._adapters = service._plugins.adapters_for(job.request, parts)
        self._finishers = service._plugins.finishers_for(job.request)
        self._facts = service.facts(job.request, card)
        self._preview_failed = False

    def batch(self, batch: int, first: int, missing: Sequence[int]) -> None:
        """Make the pictures `first`… of one batch and save the missing ones.

        The whole batch is made even when some of it is there already: a picture of a smaller batch is not equal
        to the last bit.
        """
        request = self._job.request
        images = self._service._generate(
            self._parts,
            request,
            self._adapters,
            lambda progress: self._step(batch, progress),
            first=first,
            count=request.batch_size,
            preview=self._service._previews.every,
        )
        self._stage(Stage.FINISHING, batch)
        finished = {index: self._finish(images[index - first], index) for index in missing}
        self._stage(Stage.SAVING, batch)
        failed: list[StorageError] = []
        for index, image in finished.items():
            try:
                self._report(self._save(image, index))
            except StorageError as error:
                failed.append(error)  # the others of this batch may still find a place
        if failed:
            raise failed[0]

    def _stage(self, stage: Stage, batch: int) -> None:
        self._report(StageChanged(stage=stage, batch=batch, batches=self._job.request.batch_count))

    def _step(self, batch: int, progress: StepReport) -> None:
        stage = Stage(progress.stage)
        if stage is not Stage.DENOISING or progress.step == 0:
            self._stage(stage, batch)
            return
        self._report(
            StepDone(
                step=progress.step,
                steps=progress.steps,
                batch=batch,
                batches=self._job.request.batch_count,
                seconds=time.monotonic() - self._began,
                preview=self._preview(progress),
            )
        )

    def _preview(self, progress: StepReport) -> str | None:
        previews = self._service._previews
        if progress.preview is None or self._preview_failed:
            return None
        name = f"{self._job.id}.webp"
        try:
            write_passing(previews.folder / name, webp(progress.preview))
        except OSError as error:
            self._preview_failed = True  # said once; the picture itself does not depend on it
            self._report(Warned(text=f"No live preview: {error.strerror or error}."))
            return None
        return name

    def _finish(self, image: Image.Image, index: int) -> Image.Image:
        for finisher in self._finishers:
            image = finisher.finish(image, self._job.request, index)
        return image

    def _save(self, image: Image.Image, index: int) -> ImageSaved:
        text = metadata.infotext(self._job.request, index=index, facts=self._facts)
        return self._service._outputs.save(
            image,
            self._job,
            index,
            text,
            model_hash=self._facts.model_hash,
            program=self._facts.version,
        )


def resolve(
    request: GenerationRequest, card: ModelCard, limits: Limits, names: Names
) -> GenerationRequest:
    """The request with nothing left open: the card's defaults, names as the tables spell them, limits checked.

    Resolving a resolved request changes nothing.

    Raises:
        UnknownNameError: no such sampler or schedule.
        LimitError: beyond what this installation allows or the model can make.
    """
    defaults = card.defaults
    sampler, schedule = names.canonical(
        request.sampler or defaults.sampler, request.schedule, defaults.schedule
    )
    resolved = request.replace(
        model=card.name,
        width=request.width or defaults.width,
        height=request.height or defaults.height,
        steps=request.steps or defaults.steps,
        cfg_scale=defaults.cfg_scale if request.cfg_scale is None else request.cfg_scale,
        sampler=sampler,
        schedule=schedule,
    )
    resolved.check(limits)
    _check_sides(resolved, card)
    return resolved


def _check_sides(request: GenerationRequest, card: ModelCard) -> None:
    allowed = card.size_limits
    for name, side in (("width", request.width or 0), ("height", request.height or 0)):
        if not allowed.minimum <= side <= allowed.maximum:
            raise LimitError(
                "error.limit.model_side",
                field=name,
                found=side,
                model=card.name,
                least=allowed.minimum,
                most=allowed.maximum,
            )
        if side % allowed.multiple:
            nearest = round(side / allowed.multiple) * allowed.multiple
            raise LimitError(
                "error.limit.multiple",
                field=name,
                found=side,
                multiple=allowed.multiple,
                nearest=min(max(nearest, allowed.minimum), allowed.maximum),
            )


def _flat(extras: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    """Options of extensions as parameters of the text: `lora weight: 0.8`; what is no plain value stays in the JSON."""
    found: dict[str, object] = {}
    for extension, options in extras.items():
        for name, value in options.items():
            if (
                isinstance(value, str | int | float)
                and name != "enabled"
                and len(str(value)) <= 200
            ):
                found[re.sub(r"[^\w \-/]", " ", f"{extension} {name}").replace("_", " ")] = value
    return found
