"""The story of one job: names → model → pictures → files. Runs in the worker."""

import platform
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from pydantic import JsonValue

from modules.diffusion.capabilities import CAPABILITIES
from modules.diffusion.inputs import Inputs
from modules.diffusion.prompts import networks
from modules.diffusion.prompts.schedule import Pass
from modules.diffusion.prompts.tokens import Vocabulary, named
from modules.diffusion.samplers import Sampler
from modules.errors import Skipped, StorageError, UserError, reason
from modules.imaging import canvas, metadata
from modules.imaging.infotext import PictureFacts
from modules.imaging.pictures import webp
from modules.imaging.upscale import PLAIN, Upscaler
from modules.plugins.parameters import flat
from modules.schema import (
    Cell,
    Event,
    GenerationRequest,
    ImageSaved,
    InputsKept,
    Job,
    Limits,
    ModelCard,
    Stage,
    StageChanged,
    StepDone,
    Warned,
)
from modules.services import postprocessing, sheets
from modules.services.disk import write_passing
from modules.services.inputs import InputPictures
from modules.services.outputs import Outputs
from modules.services.resolving import Lookups, Names, resolve
from modules.services.vaes import Vaes

__all__ = ["GenerationService", "Names", "Previews", "resolve"]

Report = Callable[[Event], None]

_MOST_TAGS = 10
"""Of those that nobody reads, so many are told of."""


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
    @property
    def notice(self) -> "Notice | None": ...


class Notice(Protocol):
    """`modules.diffusion.progress.Notice`."""

    @property
    def key(self) -> str: ...
    @property
    def values(self) -> Mapping[str, object]: ...


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
        inputs: Inputs,
    ) -> Sequence[Image.Image]: ...


class ModelSource(Protocol):
    """`modules.library.cache.ModelCache`."""

    def acquire(self, card: ModelCard) -> AbstractContextManager[Any]: ...


class Finishing(Protocol):
    """`modules.plugins.Finisher`."""

    def finish(
        self,
        image: Image.Image,
        request: GenerationRequest,
        index: int,
        progress: Callable[[float], None] = ...,
    ) -> Image.Image: ...
    def infotext(self) -> Mapping[str, object]: ...


class Extensions(Protocol):
    """What `modules.plugins.Plugins` does for a job; its errors name the extension."""

    def check(self, request: GenerationRequest) -> GenerationRequest: ...
    def rewritten(self, request: GenerationRequest, index: int) -> GenerationRequest: ...
    def adapters_for(self, request: GenerationRequest, parts: Any) -> Sequence[Any]: ...
    def finishers_for(self, request: GenerationRequest) -> Sequence[Finishing]: ...
    def tag_kinds(self) -> Collection[str]: ...
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]: ...


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
        self._generate = generate
        self._limits = limits
        self._previews = previews
        self._version = version
        self._inputs = inputs
        self._kept = kept
        self._upscalers = upscalers
        self._samplers = samplers
        self._vaes = vaes
        self._misfits = misfits

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
            story = _Story(self, job, found, parts, inputs, report)
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
            _Story(self, one, found, parts, inputs, report, at=index).batch(0, 0, [0])

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
            story = _Story(self, job, found, parts, inputs, report)
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

    def look_up(self, request: GenerationRequest) -> "Found":
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
    def _opened(self, found: "Found") -> Iterator[tuple[Any, Inputs]]:
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


@dataclass(frozen=True)
class Found:
    """A request with everything that it names."""

    request: GenerationRequest
    """Resolved."""
    card: ModelCard
    refiner: ModelCard | None
    pictures: Mapping[str, Image.Image]


class _Story:
    """One job while its model is held."""

    def __init__(
        self,
        service: GenerationService,
        job: Job,
        found: Found,
        parts: Any,
        inputs: Inputs,
        report: Report,
        at: int = 0,
    ) -> None:
        """`at`: number of the first picture, where the request is for some of the job's pictures alone."""
        self._service = service
        self._at = at
        self._job = job
        self._card = found.card
        self._parts = parts
        self._inputs = inputs
        self._report = report
        self._told: list[Warned] = []
        self._began = time.monotonic()
        self._refiner_hash = service.refiner_hash(found.refiner)
        self._preview_failed = False
        self._worded: _Worded | None = None
        request = job.request
        self._written = [service._plugins.rewritten(request, i) for i in range(request.pictures)]
        self._alone = any(
            self._written[i] != self._written[i - i % request.batch_size]
            for i in range(request.pictures)
        )
        self._batches = request.pictures if self._alone else request.batch_count

    def batch(self, batch: int, first: int, missing: Sequence[int]) -> None:
        """Make the pictures `first`… of one batch and save the missing ones.

        The whole batch is made even when some of it is there already: a picture of a smaller batch is not equal
        to the last bit.
        """
        failed: list[StorageError] = []
        if not self._alone:
            finished = self._make(self._say(self._written[first]), batch, first, missing)
            failed += self._save_all(batch, finished)
        else:
            # Other words each: made one by one, as jobs of their own, which is how each can be made again.
            for index in missing:
                worded = self._say(_alone(self._written[index], index))
                image = self._make(worded, index, 0, [0])[0]
                failed += self._save_all(index, {index: image})
        if failed:
            raise failed[0]

    def make(self, batch: int, first: int, wanted: Sequence[int]) -> dict[int, Image.Image]:
        """Make one batch of a job whose words are final; its wanted pictures, finished, by their place in the job."""
        return self._make(self._say(self._job.request), batch, first, wanted)

    def _make(
        self, worded: "_Worded", batch: int, first: int, wanted: Sequence[int]
    ) -> dict[int, Image.Image]:
        request = worded.request
        images = self._service._generate(
            self._parts,
            request,
            worded.adapters,
            lambda progress: self._step(batch, progress),
            first=first,
            count=request.batch_size,
            preview=self._service._previews.every,
            inputs=self._inputs,
        )
        self._stage(Stage.FINISHING, batch)

        def going_on(share: float) -> None:
            self._report(
                StepDone(
                    stage=Stage.FINISHING,
                    step=round(100 * share),
                    steps=100,
                    batch=batch,
                    batches=self._batches,
                    seconds=time.monotonic() - self._began,
                )
            )

        return {index: worded.finish(images[index - first], index, going_on) for index in wanted}

    def _say(self, request: GenerationRequest) -> "_Worded":
        """The request with those who take part in it; the same as before where the request is."""
        if self._worded is None or self._worded.request != request:
            plugins = self._service._plugins
            facts = self._service.facts(request, self._card)
            self._worded = _Worded(
                request,
                plugins.adapters_for(request, self._parts),
                plugins.finishers_for(request),
                replace(facts, extras={**facts.extras, **self._inversions(request)}),
            )
            self._look_at_tags(request)
            self._look_at_embeddings(request)
        return self._worded

    def _save_all(self, batch: int, finished: Mapping[int, Image.Image]) -> list[StorageError]:
        self._stage(Stage.SAVING, batch)
        failed = []
        for index, image in finished.items():
            try:
                self._report(self._save(image, index))
            except StorageError as error:
                failed.append(error)  # the others of this batch may still find a place
        return failed

    def facts(self) -> dict[str, str]:
        """What the picture was made on, for its JSON: bits may differ elsewhere."""
        said = self._say(self._job.request).facts if self._worded is None else self._worded.facts
        found = {
            "model_hash": said.model_hash,
            "refiner_hash": self._refiner_hash,
            "vae_hash": said.vae_hash,
            "embedding_hashes": str(said.extras.get("TI hashes", "")),
            "program": said.version,
            "device": str(getattr(self._parts, "device", "")),
            "precision": str(getattr(self._parts, "dtype", "")).removeprefix("torch."),
            "machine": platform.machine(),
            "torch": _version("torch"),
        }
        return {name: value for name, value in found.items() if value}

    def _look_at_tags(self, request: GenerationRequest) -> None:
        """Tags that nobody reads change nothing; who wrote one expects otherwise."""
        prompts, _ = _prompts(request)
        kinds = self._service._plugins.tag_kinds()
        unread = [
            tag for tags in networks.tags_of(prompts) for tag in networks.unknown(tags, kinds)
        ]
        for tag in unread[:_MOST_TAGS]:
            self._warn(Warned.of("notice.tag.unread", tag=str(tag)[:100], kind=tag.kind))

    def _look_at_embeddings(self, request: GenerationRequest) -> None:
        """Names of embeddings that the model cannot read are plain words to it."""
        if not CAPABILITIES[self._card.family].embeddings:
            return
        found = self._named(request, self._service._misfits(self._parts))
        if found:
            listed, family = ", ".join(found)[:300], self._card.family
            self._warn(Warned.of("notice.embedding.misfit", names=listed, family=family))

    def _named(self, request: GenerationRequest, names: Sequence[str]) -> list[str]:
        """Which of these embeddings the request's prompts name."""
        if not names:
            return []
        tokenizer = self._parts.tokenizer or self._parts.tokenizer_2
        vocabulary = Vocabulary.of(tokenizer)
        found: dict[str, None] = {}
        for prompts, negative in zip(_prompts(request), (False, True), strict=True):
            run, emphasis = Pass(request.steps or 1), request.emphasis
            said = named(vocabulary, prompts, run, names, negative=negative, emphasis=emphasis)
            found |= dict.fromkeys(said)
        return list(found)

    def _inversions(self, request: GenerationRequest) -> dict[str, str]:
        """A1111's "TI hashes": the embeddings that are in the picture, for its text."""
        if not CAPABILITIES[self._card.family].embeddings:
            return {}
        known = getattr(self._parts, "embeddings", None) or {}
        used = {name: known[name].sha256[:12] for name in self._named(request, sorted(known))}
        listed = ", ".join(f"{name}: {digest}" for name, digest in used.items() if digest)
        return {"TI hashes": listed} if listed else {}

    def _warn(self, warned: Warned) -> None:
        if warned not in self._told:  # of every batch it would be the same
            self._told.append(warned)
            self._report(warned)

    def _stage(self, stage: Stage, batch: int) -> None:
        self._report(StageChanged(stage=stage, batch=batch, batches=self._batches))

    def _step(self, batch: int, progress: StepReport) -> None:
        stage = Stage(progress.stage)
        if progress.notice is not None:
            self._warn(Warned.of(progress.notice.key, **progress.notice.values))
            return
        if stage is not Stage.DENOISING or progress.step == 0:
            self._stage(stage, batch)
            return
        self._report(
            StepDone(
                step=progress.step,
                steps=progress.steps,
                batch=batch,
                batches=self._batches,
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
            self._warn(Warned.of("notice.preview", why=reason(error)))
            return None
        return name

    def _save(self, image: Image.Image, index: int) -> ImageSaved:
        worded = self._worded
        assert worded is not None  # it was made a moment ago
        taking_part = (*worded.adapters, *worded.finishers)
        told = {key: value for each in taking_part for key, value in each.infotext().items()}
        facts = replace(worded.facts, extras={**worded.facts.extras, **told})
        place = index if worded.request.pictures > 1 else 0
        text = metadata.infotext(worded.request, index=place, facts=facts)
        found = {each.name: each.receipt() for each in worded.adapters}
        receipts = {name: receipt for name, receipt in found.items() if receipt is not None}
        kept: dict[str, Any] = {"receipts": receipts} if receipts else {}
        if self._job.layout is not None:
            kept["cell"] = True
        asked = self._job.request
        if worded.request.extras.keys() != asked.extras.keys():  # whoever wrote has left it
            names = ("prompt", "negative_prompt", "extras", "seed")
            kept["asked"] = {name: getattr(asked, name) for name in names}
        return self._service._outputs.save(
            image, self._job, self._at + index, text, made=worded.request, **self.facts(), **kept
        )


@dataclass(frozen=True)
class _Worded:
    """A request whose words are final, with those who take part in it."""

    request: GenerationRequest
    adapters: Sequence[Any]
    finishers: Sequence[Finishing]
    facts: PictureFacts

    def finish(
        self, image: Image.Image, index: int, progress: Callable[[float], None]
    ) -> Image.Image:
        for finisher in self.finishers:
            image = finisher.finish(image, self.request, index, progress)
        return image


def _alone(request: GenerationRequest, index: int) -> GenerationRequest:
    """Picture `index` of a request as a request for one picture."""
    changes: dict[str, Any] = {
        "seed": request.seed_of(index),
        "batch_size": 1,
        "batch_count": 1,
    }
    if request.variation is not None:
        changes["variation"] = request.variation.model_copy(
            update={"seed": request.variation_seed_of(index)}
        )
    return request.replace(**changes)


def _prompts(request: GenerationRequest) -> tuple[list[str], list[str]]:
    """The prompts, and the negative prompts, of all passes."""
    hires = request.hires
    positive, negative = [request.prompt], [request.negative_prompt]
    if hires is not None:
        positive += [hires.prompt] if hires.prompt else []
        negative += [hires.negative_prompt] if hires.negative_prompt else []
    return positive, negative


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
