"""One job while its model is held: batch by batch, from the words of its pictures to their files."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image

from modules.diffusion.capabilities import CAPABILITIES
from modules.diffusion.inputs import Inputs
from modules.diffusion.prompts import networks
from modules.diffusion.prompts.schedule import Pass
from modules.diffusion.prompts.tokens import Vocabulary, named
from modules.errors import StorageError, reason
from modules.imaging import metadata
from modules.imaging.infotext import PictureFacts
from modules.imaging.pictures import webp
from modules.schema import (
    Event,
    GenerationRequest,
    ImageSaved,
    Job,
    ModelCard,
    Stage,
    StageChanged,
    StepDone,
    Warned,
)
from modules.services.disk import write_passing
from modules.services.engine import Extensions, Finishing, Generate, StepReport
from modules.services.outputs import Outputs

Report = Callable[[Event], None]

_MOST_TAGS = 10
"""Of those that nobody reads, so many are told of."""


@dataclass(frozen=True)
class Previews:
    """Where live previews go and how often: every so many steps, 0 is never."""

    folder: Path
    every: int = 1


@dataclass(frozen=True)
class Tools:
    """What a story works with; all of it outlives the job."""

    generate: Generate
    plugins: Extensions
    outputs: Outputs
    previews: Previews
    misfits: Callable[[Any], Sequence[str]]
    """Names of embeddings that are here and not for the model."""
    facts: Callable[[GenerationRequest, ModelCard], PictureFacts]
    """What the text in the picture says beside the request."""
    refiner_hash: Callable[[ModelCard | None], str]


@dataclass(frozen=True)
class Found:
    """A request with everything that it names."""

    request: GenerationRequest
    """Resolved."""
    card: ModelCard
    refiner: ModelCard | None
    pictures: Mapping[str, Image.Image]


class Story:
    """One job while its model is held."""

    def __init__(
        self,
        tools: Tools,
        job: Job,
        found: Found,
        parts: Any,
        inputs: Inputs,
        report: Report,
        at: int = 0,
    ) -> None:
        """`at`: number of the first picture, where the request is for some of the job's pictures alone."""
        self._tools = tools
        self._at = at
        self._job = job
        self._card = found.card
        self._parts = parts
        self._inputs = inputs
        self._report = report
        self._told: list[Warned] = []
        self._began = time.monotonic()
        self._refiner_hash = tools.refiner_hash(found.refiner)
        self._preview_failed = False
        self._worded: _Worded | None = None
        request = job.request
        self._written = [tools.plugins.rewritten(request, i) for i in range(request.pictures)]
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
        images = self._tools.generate(
            self._parts,
            request,
            worded.adapters,
            lambda progress: self._step(batch, progress),
            first=first,
            count=request.batch_size,
            preview=self._tools.previews.every,
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
            plugins = self._tools.plugins
            facts = self._tools.facts(request, self._card)
            self._worded = _Worded(
                request,
                plugins.adapters_for(request, self._parts),
                plugins.finishers_for(request),
                replace(facts, extras={**facts.extras, **self._inversions(request)}),
            )
            for adapter in self._worded.adapters:
                for error in adapter.warnings():
                    self._warn(Warned.of(error.key, **error.values))
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
        kinds = self._tools.plugins.tag_kinds()
        unread = [
            tag for tags in networks.tags_of(prompts) for tag in networks.unknown(tags, kinds)
        ]
        for tag in unread[:_MOST_TAGS]:
            self._warn(Warned.of("notice.tag.unread", tag=str(tag)[:100], kind=tag.kind))

    def _look_at_embeddings(self, request: GenerationRequest) -> None:
        """Names of embeddings that the model cannot read are plain words to it."""
        if not CAPABILITIES[self._card.family].embeddings:
            return
        found = self._named(request, self._tools.misfits(self._parts))
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
        previews = self._tools.previews
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
        return self._tools.outputs.save(
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
