"""The story of one job: names → model → pictures → files. Runs in the worker."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from PIL import Image
from pydantic import JsonValue

from modules.diffusion.inputs import Inputs
from modules.diffusion.samplers import Sampler
from modules.errors import Skipped, UserError
from modules.imaging import canvas, metadata
from modules.imaging.infotext import PictureFacts
from modules.imaging.upscale import PLAIN, Upscaler
from modules.plugins.parameters import flat
from modules.schema import (
    Cell,
    Event,
    GenerationRequest,
    InputsKept,
    Job,
    Limits,
    ModelCard,
    Stage,
    StageChanged,
    Warned,
)
from modules.services import postprocessing, sheets
from modules.services.engine import Extensions, Generate, ModelSource
from modules.services.inputs import InputPictures
from modules.services.outputs import Outputs
from modules.services.resolving import Lookups, Names, resolve
from modules.services.story import Found, Previews, Report, Story, Tools
from modules.services.vaes import Vaes

__all__ = ["GenerationService", "Names", "Previews", "resolve"]


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
        inputs: InputPictures | None = None,
        kept: Callable[[], tuple[str, ...]] = tuple,
        upscalers: Callable[[], Mapping[str, Upscaler]] = dict,
        samplers: Callable[[], Sequence[Sampler]] = tuple,
        vaes: Vaes | None = None,
        misfits: Callable[[Any], Sequence[str]] = lambda parts: (),
    ) -> None:
        """`upscalers` and `samplers`: those of extensions, asked for at each job. `misfits`: names of embeddings
        that are here and not for the model (`modules.library.embeddings.Shelf.misfits`). `kept`: the input pictures
        that extensions have kept since it was asked last (`KeepingPictures.taken`)."""
        self._find_model = find_model
        self._cache = cache
        self._plugins = plugins
        self._outputs = outputs
        self._hashes = hashes
        self._names = names
        self._limits = limits
        self._version = version
        self._inputs = inputs
        self._kept = kept
        self._upscalers = upscalers
        self._samplers = samplers
        self._vaes = vaes
        self._tools = Tools(
            generate, plugins, outputs, previews, misfits, self.facts, self.refiner_hash
        )

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
        self._kept()  # what is left of an earlier job is not of this one

        def told(event: Event) -> None:
            kept = self._kept()
            if kept:
                report(InputsKept(inputs=kept))
            report(event)

        self._run(job, told)

    def _run(self, job: Job, report: Report) -> None:
        if job.request.postprocess is not None:
            self._postprocessing().run(job, report)
            return
        if job.layout is not None:
            sheets.run(job, job.layout, self, self._outputs, report)
            return
        found = self.look_up(job.request)
        request = found.request
        job = job.model_copy(update={"request": request})
        saved = [self._outputs.find(job, index) for index in range(request.pictures)]
        for event in saved:
            if event is not None:
                report(event)
        if all(saved):
            return
        report(StageChanged(stage=Stage.LOADING, batches=request.batch_count))
        with self._opened(found) as (parts, inputs):
            story = Story(self._tools, job, found, parts, inputs, report)
            for batch in range(request.batch_count):
                first = batch * request.batch_size
                missing = [
                    index for index in range(first, first + request.batch_size) if not saved[index]
                ]
                if missing:
                    try:
                        story.batch(batch, first, missing)
                    except Skipped:
                        report(Warned.of("warning.skipped", count=len(missing)))

    def cell(self, job: Job, cell: Cell, index: int, report: Report) -> None:
        """Make one cell of a grid and save it as picture `index` of the job.

        Raises:
            UserError: as `run`.
        """
        found = self.look_up(cell.request)
        report(StageChanged(stage=Stage.LOADING))
        with self._opened(found) as (parts, inputs):
            one = job.model_copy(update={"request": found.request})
            Story(self._tools, one, found, parts, inputs, report, at=index).batch(0, 0, [0])

    def said(self, request: GenerationRequest) -> tuple[str, dict[str, JsonValue]]:
        """The text of a grid's sheet, and the facts for its JSON."""
        found = self.look_up(request)
        facts = self.facts(found.request, found.card)
        text = metadata.infotext(found.request, index=0, facts=facts)
        return text, {"model_hash": facts.model_hash, "program": facts.version}

    def remake(self, job: Job, index: int, report: Report) -> tuple[Image.Image, dict[str, str]]:
        """Picture `index` of a job again, finished but not saved, and what it was made on (`facts` of `Outputs.save`).

        Raises:
            UserError: as `run`.
        """
        if job.request.postprocess is not None:
            made = self._postprocessing().make(job, report)
            return made.image, dict(made.facts)
        found = self.look_up(job.request)
        request = found.request
        job = job.model_copy(update={"request": request})
        report(StageChanged(stage=Stage.LOADING, batches=request.batch_count))
        with self._opened(found) as (parts, inputs):
            request = self._plugins.rewritten(request, index)  # words that are still to be written
            job = job.model_copy(update={"request": request})
            story = Story(self._tools, job, found, parts, inputs, report)
            # With the whole batch: in one of another size a picture is not equal to the last bit.
            batch = index // request.batch_size
            first = batch * request.batch_size
            images = story.make(batch, first, [index])
            return images[index], story.facts()

    def _postprocessing(self) -> postprocessing.Postprocessing:
        if self._inputs is None:
            raise UserError("error.input.missing", id="-")
        return postprocessing.Postprocessing(
            self._plugins, self._inputs, self._outputs, f"Noisette {self._version}"
        )

    def look_up(self, request: GenerationRequest) -> Found:
        """Everything that the request names. No model is touched.

        Raises:
            UserError: something is not here, or cannot be done.
        """
        card = self._find_model(request.model)
        lookups = Lookups(
            find_model=self._find_model,
            size_of=self._inputs.size if self._inputs is not None else None,
            upscalers=lambda: tuple(self._upscalers()),
            vae=self._vaes.fitting if self._vaes is not None else None,
        )
        request = resolve(request, card, self._limits, self._names, lookups)
        request = self._plugins.check(request)
        pictures: dict[str, Image.Image] = {}
        if self._inputs is not None:
            pictures = {name: self._inputs.open(name) for name in request.input_ids}
        if request.img2img is not None:
            canvas.prepare(request, pictures)  # an empty mask is said now
        refiner = None if request.refiner is None else self._find_model(request.refiner.model)
        return Found(request, card, refiner, pictures)

    @contextmanager
    def _opened(self, found: Found) -> Iterator[tuple[Any, Inputs]]:
        """The model, with the VAE that is asked for, and all else that the engine is handed.

        The refiner is held beside the model, so both are in memory; what does not fit the cache's budget is
        dropped after the job, or before it where it is not in use.
        """
        with ExitStack() as held:
            parts = held.enter_context(self._cache.acquire(found.card))
            if self._vaes is not None:
                held.enter_context(self._vaes.using(found.request.vae, parts))
            refiner = None
            if found.refiner is not None:
                refiner = held.enter_context(self._cache.acquire(found.refiner))
            upscalers = {**{each.name: each for each in PLAIN}, **self._upscalers()}
            yield parts, Inputs(found.pictures, refiner, upscalers, self._samplers())

    def refiner_hash(self, card: ModelCard | None) -> str:
        """That of the refiner, "" without one."""
        return "" if card is None else self._hashes(card)

    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """As `Studio.read_parameters`."""
        return self._plugins.read_parameters(parameters)

    def facts(self, request: GenerationRequest, card: ModelCard) -> PictureFacts:
        """What the text in the picture says beside the request."""
        sampler, schedule = self._names.labels(request.sampler or "", request.schedule or "")
        again = ("", "")
        if request.hires is not None:
            again = self._names.labels(
                request.hires.sampler or request.sampler or "",
                request.hires.schedule or request.schedule or "",
            )
        return PictureFacts(
            model=card.name,
            model_hash=self._hashes(card),
            vae_hash=self._vaes.hash(request.vae) if self._vaes is not None else "",
            sampler=sampler,
            schedule=schedule,
            hires_sampler=again[0],
            hires_schedule=again[1],
            version=f"Noisette {self._version}",
            extras=flat(request.extras),
        )
