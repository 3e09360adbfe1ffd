"""`/sdapi/v1` on a whole installation with an engine that paints the seed, and extensions that clients call."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from PIL import Image

from modules.api.foreign import mount_foreign_routes
from modules.api.v1.app import INTERNAL, OPTIONS_FILE, PREFIX, v1_apps
from modules.api.waiting import WaitingQueue
from modules.library.cards import find
from modules.plugins.manager import Places, Plugins
from modules.schema import Limits, ModelCard, ModelDefaults, SizeLimits
from modules.schema.guests import GuestLimits
from modules.services.access import Exposure
from modules.services.dispatcher import Dispatcher
from modules.services.drafts import Drafts
from modules.services.front import Studio
from modules.services.hub import Hub
from modules.services.inputs import KeepingPictures
from modules.services.jobs import JobStore
from modules.services.models import Models
from modules.services.names import SamplerNames
from modules.services.outputs import Outputs
from modules.services.vaes import VaeFiles
from modules.services.worker import InProcessWorker
from modules.settings import Settings
from modules.ui.visitor import Visitors
from tests.api.callers import PROJECT, Callers, Face, serving
from tests.services.fakes import FakeGenerate, service


def card(name: str, family: str = "sd1", **changes) -> ModelCard:
    usual = {
        "path": Path("models") / f"{name}.safetensors",
        "size_bytes": 1,
        "defaults": ModelDefaults(width=64, height=64, steps=3, sampler="euler_a"),
        "size_limits": SizeLimits(minimum=8, maximum=256, multiple=8),
    }
    return ModelCard(name=name, title=name.title(), family=family, **{**usual, **changes})


CARDS = (card("tiny"), card("other"), card("flow", "flux1"))
HASHES = {"tiny": "0123456789ab" + "0" * 52, "other": "", "flow": ""}


@dataclass
class Here(Callers):
    """The application and what lies behind it."""

    studio: Studio
    engine: FakeGenerate
    plugins: Plugins
    root: Path

    def last(self):
        """The request of the job that was queued last."""
        return self.studio.jobs(limit=1)[0].request


def build(
    root: Path,
    extensions: Sequence[str],
    *,
    settings: Settings | None = None,
    guests: GuestLimits | None = None,
) -> Here:
    engine = FakeGenerate()
    folder = root / "extensions"
    folder.mkdir()
    for name in extensions:
        (folder / name).symlink_to(PROJECT / "extensions" / name)
    inputs = KeepingPictures(root / "data" / "inputs")
    places = Places(root / "models", root / "data" / "extensions", "cpu", pictures=inputs)
    plugins = Plugins.load(folder, places=places)
    assert all(report.reason is None for report in plugins.reports)
    in_worker = Plugins.load(folder, places=places, process="worker")
    names = SamplerNames(plugins.samplers)
    models = Models(lambda: SimpleNamespace(cards=CARDS, problems=()), find, "tiny")
    made = service(
        root,
        engine,
        inputs=inputs,
        kept=inputs.taken,
        plugins=in_worker,
        names=names,
        find_model=models.find,
        hashes=lambda found: HASHES[found.name][:10],
        upscalers=in_worker.upscaling,
    )
    hub, store = Hub(), JobStore(root / "data" / "noisette.sqlite3")
    outputs, spool = Outputs(root / "outputs"), root / "data" / "spool"
    dispatcher = Dispatcher(
        store, InProcessWorker(lambda: made), hub, outputs, spool, plugins.publish
    )
    studio = Studio(
        store=store,
        hub=hub,
        outputs=outputs,
        models=models,
        plugins=plugins,
        names=names,
        limits=Limits(),
        spool_dir=spool,
        inputs=inputs,
        drafts=Drafts(root / "data" / "drafts.sqlite3"),
        vaes=VaeFiles(root / "models" / "vae"),
        embeddings=lambda found: {"easyneg": 4},
        dispatcher=dispatcher,
        guests=guests,
    )
    app = FastAPI(openapi_url=None)
    both = v1_apps(
        studio,
        Face(),
        settings or Settings(data_dir=root),
        Exposure(),
        plugins=plugins,
        hash_of=lambda found: HASHES[found.name],
    )
    mount_foreign_routes(app, plugins, WaitingQueue(studio, Visitors), both.paths)
    app.mount(PREFIX, both.app)
    app.mount(INTERNAL, both.internal)
    studio.start()
    return Here(app, studio, engine, plugins, root)


def shut(here: Here) -> None:
    here.leave()
    here.studio.close(2.0)
    here.plugins.close()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    made = build(
        tmp_path_factory.mktemp("v1"),
        ("freeu", "lora", "styles", "upscaler", "frame", "captions"),
    )
    yield made
    shut(made)


@pytest.fixture
def here(house: Here) -> Iterator[Here]:
    """One installation for all tests, as it was at the beginning but for its jobs."""
    yield house
    house.engine.seconds = 0.0
    house.engine.before = lambda stage, step: None
    (house.root / "data" / OPTIONS_FILE).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def server(house: Here) -> Iterator[tuple[str, int]]:
    """The application on a port of this machine."""
    with serving(house.app) as port:
        yield "127.0.0.1", port


def picture(colour="red", size=(64, 64), mode="RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def b64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))
