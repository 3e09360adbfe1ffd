"""A whole installation without a model: an engine that paints the seed, disks that fail, extensions that do nothing."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from modules.errors import UnknownNameError
from modules.schema import (
    GenerationRequest,
    ImageSaved,
    Layout,
    Limits,
    ModelCard,
    ModelDefaults,
    SizeLimits,
    Stage,
)
from modules.services.disk import Disk
from modules.services.dispatcher import Dispatcher
from modules.services.drafts import Drafts
from modules.services.front import Studio
from modules.services.generation import GenerationService, Previews
from modules.services.hub import Hub
from modules.services.inputs import InputPictures
from modules.services.jobs import JobStore
from modules.services.models import Models
from modules.services.outputs import Outputs
from modules.services.vaes import VaeFiles
from modules.services.worker import InProcessWorker, Worker

CARD = ModelCard(
    name="tiny",
    title="Tiny",
    family="sd1",
    path=Path("tiny"),
    size_bytes=1,
    defaults=ModelDefaults(width=64, height=64, steps=3, sampler="euler_a"),
    size_limits=SizeLimits(minimum=8, maximum=512, multiple=8),
)


@dataclass(frozen=True)
class FakeProgress:
    stage: Stage
    step: int = 0
    steps: int = 0
    preview: Image.Image | None = None
    notice: Any = None


@dataclass
class FakeGenerate:
    """Paints each picture in a colour of its seed, `seconds` a step; `before` is called at every report."""

    seconds: float = 0.0
    before: Callable[[str, int], None] = lambda stage, step: None
    calls: list[tuple[int, int]] = field(default_factory=list)

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
        inputs: Any = None,
    ) -> list[Image.Image]:
        self.calls.append((first, count))

        def tell(stage: Stage, step: int = 0) -> None:
            self.before(stage.value, step)
            due = (
                bool(preview and step) and step % preview == 0
            )  # as the real one: every so many steps
            shown = Image.new("RGB", (8, 8)) if due else None
            report(FakeProgress(stage, step, request.steps or 0, shown))

        tell(Stage.ENCODING)
        for step in range(1, (request.steps or 0) + 1):
            time.sleep(self.seconds)
            tell(Stage.DENOISING, step)
        tell(Stage.DECODING)
        return [
            Image.new("RGB", (request.width or 0, request.height or 0), colour(request, first + i))
            for i in range(count)
        ]


class Held:
    """Holds a fake engine at one step until it is let go, so that no test need be quicker than a job."""

    def __init__(self, engine: FakeGenerate, step: int = 5) -> None:
        self.step = step
        self.reached, self.go = threading.Event(), threading.Event()
        engine.before = self

    def __call__(self, stage: str, step: int) -> None:
        if step == self.step and not self.go.is_set():
            self.reached.set()
            assert self.go.wait(100), "nobody let it go"

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *exc: object) -> None:
        self.go.set()


def colour(request: GenerationRequest, index: int) -> tuple[int, int, int]:
    seed = request.seed_of(index)
    return seed & 255, seed >> 8 & 255, seed >> 16 & 255


class FakeCache:
    @contextmanager
    def acquire(self, card: ModelCard) -> Iterator[Any]:
        yield card


class FakeNames:
    def canonical(self, sampler: str, schedule: str | None, fallback: str) -> tuple[str, str]:
        if sampler.casefold() not in ("euler_a", "euler a"):
            raise UnknownNameError("No sampler of that name.")
        return "euler_a", schedule or fallback

    def labels(self, sampler: str, schedule: str) -> tuple[str, str]:
        return "Euler a", "Default"


class FakePlugins:
    reports = ()

    def __init__(self, finishers: Sequence[Any] = ()) -> None:
        self.finishers = finishers
        self.events: list[Any] = []
        self.grid: Callable[[GenerationRequest], Layout | None] | None = None
        self.rewrite: Callable[[GenerationRequest, int], GenerationRequest] = (
            lambda request, index: request
        )
        self.refuse: Callable[[GenerationRequest, str], None] = lambda request, family: None

    def samplers(self) -> Sequence[Any]:
        return ()

    def upscalers(self) -> Sequence[Any]:
        return ()

    def check(self, request: GenerationRequest) -> GenerationRequest:
        return request

    def rewritten(self, request: GenerationRequest, index: int) -> GenerationRequest:
        return self.rewrite(request, index)

    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        return {}, set()

    def axes(self) -> Sequence[Any]:
        return ()

    def lays_out(self, request: GenerationRequest) -> bool:
        return self.grid is not None

    def lay_out(self, request: GenerationRequest, axes: Any, most: int) -> Layout | None:
        return None if self.grid is None else self.grid(request)

    def check_request(self, request: GenerationRequest, family: str) -> None:
        self.refuse(request, family)

    def tag_kinds(self) -> frozenset[str]:
        return frozenset()

    def adapters_for(self, request: GenerationRequest, parts: Any) -> Sequence[Any]:
        return ()

    def finishers_for(self, request: GenerationRequest) -> Sequence[Any]:
        return self.finishers

    def publish(self, event: Any) -> None:
        self.events.append(event)


class FakeScan:
    cards = (CARD,)
    problems = ()


def find(cards: Sequence[ModelCard], name: str | None, default: str) -> ModelCard:
    for card in cards:
        if card.name == (name or default):
            return card
    raise UnknownNameError(f"No model {name}.")


class FaultyDisk(Disk):
    """Fails with `error` (an errno), or kills this process, at the `at`-th call of `method`; a path may be chosen."""

    def __init__(
        self, method: str, at: int = 1, error: int | None = errno.ENOSPC, only: str = ""
    ) -> None:
        self.method = method
        self.at = at
        self.error = error
        self.only = only
        self.count = 0

    def write(self, path: Path, data: bytes) -> None:
        if self._due("half", path):
            path.write_bytes(data[: len(data) // 2])
            self._strike(path)
        if self._due("write", path):
            self._strike(path)
        super().write(path, data)

    def replace(self, source: Path, target: Path) -> None:
        if self._due("replace", target):
            self._strike(target)
        super().replace(source, target)

    def sync_folder(self, folder: Path) -> None:
        if self._due("sync_folder", folder):
            self._strike(folder)
        super().sync_folder(folder)

    def _due(self, method: str, path: Path) -> bool:
        if method != self.method or self.only not in str(path):
            return False
        self.count += 1
        return self.at <= 0 or self.count == self.at  # 0: always

    def _strike(self, path: Path) -> None:
        if self.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(self.error, os.strerror(self.error or 0), str(path))


def service(
    root: Path, generate: FakeGenerate | None = None, *, disk: Disk | None = None, **changes: Any
) -> GenerationService:
    things: dict[str, Any] = {
        "find_model": lambda name: find((CARD,), name, CARD.name),
        "cache": FakeCache(),
        "plugins": FakePlugins(),
        "outputs": Outputs(root / "outputs", disk=disk),
        "hashes": lambda card: "0123456789",
        "names": FakeNames(),
        "generate": generate or FakeGenerate(),
        "limits": Limits(),
        "previews": Previews(root / "data" / "spool"),
        "version": "0.0.0",
    }
    return GenerationService(**{**things, **changes})


@dataclass
class House:
    """One installation in one process."""

    studio: Studio
    store: JobStore
    hub: Hub
    outputs: Outputs
    dispatcher: Dispatcher
    plugins: FakePlugins

    def finish(self, job_id: int, seconds: float = 60.0) -> Any:
        """Wait until the job is over; the job."""
        until = time.monotonic() + seconds
        version = -1
        while time.monotonic() < until:
            version = self.studio.watch(version, 0.1)
            job = self.studio.job(job_id)
            if job.state.finished:
                return job
        raise AssertionError(f"job {job_id} is still {self.studio.job(job_id).state}")


def house(
    root: Path,
    generate: FakeGenerate | None = None,
    *,
    disk: Disk | None = None,
    worker: Worker | None = None,
    limits: Limits | None = None,
) -> House:
    store = JobStore(root / "data" / "noisette.sqlite3")
    hub = Hub()
    outputs = Outputs(root / "outputs")
    plugins = FakePlugins()
    worker = worker or InProcessWorker(lambda: service(root, generate, disk=disk))
    dispatcher = Dispatcher(store, worker, hub, outputs, root / "data" / "spool", plugins.publish)
    studio = Studio(
        store=store,
        hub=hub,
        outputs=outputs,
        models=Models(FakeScan, find, CARD.name),
        plugins=plugins,
        names=FakeNames(),
        limits=limits or Limits(),
        spool_dir=root / "data" / "spool",
        inputs=InputPictures(root / "data" / "inputs"),
        drafts=Drafts(root / "data" / "drafts.sqlite3"),
        vaes=VaeFiles(root / "models" / "vae"),
        embeddings=lambda card: {},
        dispatcher=dispatcher,
    )
    return House(studio, store, hub, outputs, dispatcher, plugins)


def saved(index: int, path: str | None = None) -> ImageSaved:
    return ImageSaved(
        index=index, path=path or f"{index}.png", width=8, height=8, seed=index, infotext=""
    )
