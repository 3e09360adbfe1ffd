"""A studio without weights: the real rows, files and progress, and a thread that draws circles instead of dreaming."""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

from modules.errors import UnknownNameError, UserError
from modules.plugins.axis import Axis
from modules.plugins.fields import core_axes
from modules.plugins.manager import Plugins
from modules.schema import (
    Finished,
    GenerationRequest,
    ImageSaved,
    Job,
    JobState,
    Limits,
    ModelCard,
    ModelDefaults,
    Picture,
    SizeLimits,
    Stage,
    StageChanged,
    StepDone,
)
from modules.services.drafts import Drafts
from modules.services.handed_in import HandedIn
from modules.services.hub import Hub, Progress
from modules.services.inputs import InputPictures
from modules.services.jobs import Clients, JobStore
from modules.services.outputs import Outputs
from modules.services.tokens import TokenCounter

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "white", "black")

POCKET = Path(__file__).resolve().parents[2] / "models" / "checkpoints" / "pocket"
CLIP = ModelCard(name="pocket", title="Pocket", family="sd1", path=POCKET, size_bytes=0)
"""Whose tokenizer counts."""


@dataclass(frozen=True)
class Named:
    """A row of the tables of samplers and schedules."""

    name: str
    label: str


@dataclass(frozen=True)
class Scan:
    """What `library.scan` answers."""

    cards: tuple[ModelCard, ...]
    problems: tuple[object, ...] = ()


@dataclass
class FakeStudio:
    """The face of `modules.services.front.Studio`."""

    folder: Path
    seconds_per_step: float = 0.05
    plugins: Plugins | None = None
    limits: Limits = field(default_factory=Limits)
    default_model: str = "pocket"
    samplers: tuple[Named, ...] = (
        Named("euler", "Euler"),
        Named("euler_a", "Euler a"),
        Named("dpmpp_2m", "DPM++ 2M"),
    )
    schedules: tuple[Named, ...] = (Named("default", "Default"), Named("karras", "Karras"))

    def __post_init__(self) -> None:
        self.skips: set[int] = set()
        self.store = JobStore(self.folder / "data" / "noisette.sqlite3")
        self.hub = Hub()
        self.outputs = Outputs(self.folder / "outputs", self.folder / "rescued")
        self.tokens = TokenCounter(lambda name: CLIP, self.embeddings)
        self.inputs = HandedIn(InputPictures(self.folder / "data" / "inputs"), self.store)
        self.drafts = Drafts(self.folder / "data" / "drafts.sqlite3")
        self.spool = self.folder / "data" / "spool"
        self.spool.mkdir(parents=True, exist_ok=True)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(10)
        self.store.close()
        self.drafts.close()

    upscalers = ("Lanczos", "Nearest", "Doubler")
    ending = False

    def words(
        self, request: GenerationRequest, client: str, most: int = 4
    ) -> list[tuple[str, str]]:
        resolved = self.resolve(request, client).drawn(lambda: 0)
        count = min(most, resolved.pictures)
        written = [
            self.plugins.rewritten(resolved, index) if self.plugins else resolved
            for index in range(count)
        ]
        return [(each.prompt, each.negative_prompt) for each in written]

    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        return self.plugins.read_parameters(parameters) if self.plugins else ({}, set())

    def vaes(self) -> Sequence[str]:
        return ("crisp", "soft/warm")

    def embeddings(self, card: ModelCard) -> dict[str, int]:
        return {} if card.name == "landscape" else {"badly drawn": 4}

    def models(self, refresh: bool = False) -> Scan:
        size = SizeLimits(minimum=64, maximum=256, multiple=16)
        pocket = ModelCard(
            name="pocket",
            title="Pocket",
            family="sd1",
            path=Path("pocket"),
            size_bytes=23_000_000,
            defaults=ModelDefaults(width=128, height=128, steps=20, cfg_scale=3.0, sampler="euler"),
            size_limits=size,
            licence="MIT",
            description={
                "en": "Small model that ships along: several hundred things and shapes.",
                "zh": "随附的小模型：数百种物体和形状。",
            },
            examples=(
                "a red apple",
                "a blue fish, flat icon",
                "a green frog on a yellow background",
                "a rocket, 3d render",
            ),
        )
        other = pocket.model_copy(
            update={
                "name": "landscape",
                "title": "Landscape <test>",
                "defaults": ModelDefaults(width=256, height=192, steps=12, sampler="dpmpp_2m"),
                "examples": ("mountains at dawn",),
            }
        )
        return Scan((pocket, other))

    def submit(self, request: GenerationRequest, client: str = "") -> Job:
        (job,) = self.submit_all([request], client)
        return job

    def submit_all(self, requests: Sequence[GenerationRequest], client: str = "") -> Sequence[Job]:
        asked = [(self.resolve(request, client), None) for request in requests]
        jobs = self.store.submit_all(asked, client)
        self.hub.touch()
        return jobs

    def resolve(self, request: GenerationRequest, client: str) -> GenerationRequest:
        self.inputs.of(client).check(request)
        cards = {card.name: card for card in self.models().cards}
        name = request.model or self.default_model
        if name not in cards:
            raise UnknownNameError(
                "error.field", field="model", found=name, why=f"known: {', '.join(cards)}"
            )
        defaults = cards[name].defaults.model_dump()
        given = {key: value for key, value in request.model_dump().items() if value is not None}
        resolved = GenerationRequest.model_validate({**defaults, **given, "model": name})
        resolved.check(self.limits)
        return resolved

    def axes(self) -> Sequence[Axis]:
        return (*core_axes(), *(self.plugins.axes() if self.plugins else ()))

    def layout(self, job_id: int, client: Clients | None = None) -> None:
        self.job(job_id, client)

    def request_of(self, picture: Picture) -> GenerationRequest:
        return self.store.get(picture.job_id).request

    def job(self, job_id: int, client: Clients | None = None) -> Job:
        job = self.store.get(job_id)
        if client is not None and job.client not in _names(client):
            raise UserError("error.job.unknown", id=job_id)
        return job

    def jobs(
        self,
        client: Clients | None = None,
        *,
        states: Sequence[JobState] | None = None,
        newest_first: bool = True,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Job]:
        return self.store.list(
            states=states, client=client, newest_first=newest_first, limit=limit, offset=offset
        )

    def cancel(self, job_id: int, client: Clients | None = None) -> Job:
        self.job(job_id, client)
        job = self.store.cancel(job_id)
        self.hub.touch()
        return job

    def skip(self, job_id: int, client: Clients | None = None) -> None:
        self.job(job_id, client)
        self.skips.add(job_id)

    def retry(self, job_id: int, client: Clients | None = None) -> Job:
        self.job(job_id, client)
        job = self.store.retry(job_id)
        self.hub.touch()
        return job

    def extensions(self) -> Sequence[object]:
        return self.plugins.reports if self.plugins else ()

    @property
    def version(self) -> int:
        return self.hub.version

    @property
    def problem(self) -> str | None:
        return self.hub.problem

    def progress(self, job_id: int) -> Progress:
        return self.progress_of([self.store.get(job_id)])[job_id]

    def progress_of(self, jobs: Sequence[Job]) -> Mapping[int, Progress]:
        positions = self.store.positions([job.id for job in jobs])
        found = {}
        for job in jobs:
            live = self.hub.snapshot(job.id)
            if live is None or job.state is JobState.QUEUED:
                live = Progress(job.id, job.state, position=positions[job.id])
            found[job.id] = live
        return found

    def preview_file(self, job_id: int) -> Path | None:
        live = self.hub.snapshot(job_id)
        return self.spool / live.preview if live and live.preview else None

    def pictures(
        self, client: Clients | None = None, limit: int = 100, offset: int = 0
    ) -> Sequence[Picture]:
        return self.store.pictures(client=client, limit=limit, offset=offset)

    def picture(self, picture_id: int) -> Picture:
        return self.store.picture(picture_id)

    def picture_file(self, picture_id: int) -> Path:
        return self.outputs.path_of(self.store.picture(picture_id).path)

    def counts(self) -> dict[JobState, int]:
        return self.store.counts()

    def watch(self, version: int, timeout: float) -> int:
        return self.hub.wait(version, timeout)

    def _work(self) -> None:
        while not self._closed.is_set():
            job = self.store.claim("fake")
            if job is None:
                self._closed.wait(0.05)
                continue
            self._run(job)

    def _run(self, job: Job) -> None:
        request = job.request
        steps = request.steps or 1
        self.hub.begin(job)
        started = time.time()
        cancelled = failed = False
        total = request.batch_count
        for batch in range(total):
            self._stage(job, Stage.LOADING, batch)
            last = batch == total - 1
            if "unlucky" in request.prompt and (last or "at the end" not in request.prompt):
                failed = True
                break
            self._stage(job, Stage.DENOISING, batch)
            for step in range(1, steps + 1):
                time.sleep(self.seconds_per_step)
                while step == 3 and self._held(job):
                    time.sleep(0.02)
                cancelled = self._closed.is_set() or job.id in self.store.cancels()
                if cancelled or job.id in self.skips:
                    break
                name = f"{job.id}-{batch}-{step}.png"
                picture = draw(request, batch, step / steps)
                picture.resize((64, 64)).save(self.spool / name)
                self.hub.apply(
                    StepDone(
                        job_id=job.id,
                        step=step,
                        steps=steps,
                        batch=batch,
                        batches=total,
                        seconds=time.time() - started,
                        preview=name,
                    )
                )
            if cancelled:
                break
            if job.id in self.skips:
                self.skips.discard(job.id)
                continue
            for within in range(request.batch_size):
                index = batch * request.batch_size + within
                self._stage(job, Stage.SAVING, batch)
                self._save(job, index, draw(request, index, 1.0))
        if failed:
            error = UserError("error.field", field="prompt", found="unlucky", why="it fails here")
            self.store.finish(job.id, JobState.FAILED, error.to_dict())
            self.hub.end(job.id, JobState.FAILED)
            return
        state = JobState.CANCELLED if cancelled else JobState.DONE
        self.hub.apply(Finished(job_id=job.id, cancelled=cancelled))
        self.store.finish(job.id, state)
        self.hub.end(job.id, state)

    def _held(self, job: Job) -> bool:
        """Whether somebody wants to look at this picture while it is made: the file `hold` stops it until it is gone."""
        gone_on = self._closed.is_set() or job.id in self.skips or job.id in self.store.cancels()
        return (self.folder / "hold").exists() and not gone_on

    def _stage(self, job: Job, stage: Stage, batch: int) -> None:
        self.hub.apply(
            StageChanged(job_id=job.id, stage=stage, batch=batch, batches=job.request.batch_count)
        )

    def _save(self, job: Job, index: int, image: Image.Image) -> None:
        request = job.request
        text = (
            f"{request.prompt}\nSteps: {request.steps}, Sampler: {request.sampler}, CFG scale: "
            f"{request.cfg_scale}, Seed: {request.seed_of(index)}, Size: {request.width}x{request.height}, "
            f"Model: {request.model}"
        )
        saved: ImageSaved = self.outputs.save(image, job, index, text)
        self.store.add_picture(job.id, saved)
        self.hub.apply(saved)


def _names(client: Clients) -> tuple[str, ...]:
    return (client,) if isinstance(client, str) else client


def draw(request: GenerationRequest, index: int, done: float) -> Image.Image:
    """A blob in the colours of the prompt, the sharper the further the steps are."""
    width, height = request.width or 64, request.height or 64
    words = request.prompt.lower().replace(",", " ").split()
    named = [word for word in words if word in COLOURS]
    front = named[0] if named else "peru"
    back = named[1] if len(named) > 1 else "antiquewhite"
    image = Image.new("RGB", (width, height), back)
    pen = ImageDraw.Draw(image)
    side = min(width, height) * 0.36
    turn = (request.seed_of(index) % 360) / 57.3
    for petal in range(7):
        angle = turn + petal * math.tau / 7
        x, y = width / 2 + math.cos(angle) * side * 0.45, height / 2 + math.sin(angle) * side * 0.45
        pen.ellipse((x - side / 2, y - side / 2, x + side / 2, y + side / 2), fill=front)
    pen.ellipse(
        (width / 2 - side / 4, height / 2 - side / 4, width / 2 + side / 4, height / 2 + side / 4),
        fill=back,
    )
    if done < 1:
        noise = Image.effect_noise((width, height), 90).convert("RGB")
        image = Image.blend(image, noise, (1 - done) ** 0.7).filter(
            ImageFilter.GaussianBlur(3 * (1 - done))
        )
    return image
