"""Builds every long-lived object once and hands it on: the only file that knows all rooms.

Imports of rooms that only one process needs stand inside the function that needs them: the page's process must not
import torch, the worker must not import gradio.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modules import __version__
from modules.plugins.manager import Plugins
from modules.services.dispatcher import Dispatcher
from modules.services.front import Studio
from modules.services.generation import GenerationService, Previews
from modules.services.hub import Hub
from modules.services.jobs import JobStore
from modules.services.models import Models
from modules.services.names import SamplerNames
from modules.services.outputs import Outputs
from modules.services.worker import ChildWorker, InProcessWorker, Worker
from modules.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@dataclass(frozen=True)
class App:
    """The running program: what answers requests, what does the work, and how both end."""

    asgi: "ASGIApp"
    studio: Studio
    close: Callable[[], None]


def build_app(settings: Settings) -> App:
    """The page and the queue behind it; `studio.start()` sets the queue going, once the page answers.

    Whoever calls this holds the lock of the data folder (`services.instance`).
    """
    studio, plugins = _studio_and_plugins(settings, ChildWorker(settings))

    from modules.api.server import create_app
    from modules.ui.shell import build_page

    page = build_page(studio, plugins, __version__)

    def close() -> None:
        studio.close()
        plugins.close()

    return App(create_app(studio, page, settings), studio, close)


def build_studio(settings: Settings, *, in_process: bool = False) -> Studio:
    """The queue without a page, for the command line; with `in_process` this process does the work itself."""
    worker = InProcessWorker(lambda: build_worker(settings)) if in_process else None
    return _studio_and_plugins(settings, worker)[0]


def build_worker(settings: Settings) -> GenerationService:
    """What makes the pictures; this is where torch comes in."""
    from modules.diffusion.pipeline import generate
    from modules.library.cache import ModelCache
    from modules.library.load import load, prepare, release

    prepare()  # some seconds of imports, while nobody waits
    models = _models(settings)

    def loaded(card: Any) -> Any:
        return load(card, settings.device, settings.precision)

    return GenerationService(
        find_model=models.find,
        cache=ModelCache(settings.model_cache_bytes, loaded, release),
        plugins=_plugins(settings),
        outputs=Outputs(settings.outputs_dir),
        hashes=_hashes(settings),
        names=SamplerNames(),
        generate=generate,
        limits=settings.limits,
        previews=Previews(settings.spool_dir, settings.preview_every),
        version=__version__,
    )


def _studio_and_plugins(settings: Settings, worker: Worker | None) -> tuple[Studio, Plugins]:
    plugins = _plugins(settings)
    store = JobStore(settings.database)
    hub = Hub()
    outputs = Outputs(settings.outputs_dir)
    dispatcher = None
    if worker is not None:
        dispatcher = Dispatcher(store, worker, hub, outputs, settings.spool_dir, plugins.publish)
    studio = Studio(
        store=store,
        hub=hub,
        outputs=outputs,
        models=_models(settings),
        plugins=plugins,
        names=SamplerNames(),
        limits=settings.limits,
        spool_dir=settings.spool_dir,
        default_model=settings.default_model,
        dispatcher=dispatcher,
    )
    return studio, plugins


def _plugins(settings: Settings) -> Plugins:
    return Plugins.load(settings.extensions_dir, safe_mode=settings.safe_mode)


def _models(settings: Settings) -> Models:
    from modules.library.cards import find
    from modules.library.scan import scan

    return Models(lambda: scan(settings.models_dir), find, settings.default_model)


def _hashes(settings: Settings) -> Callable[[Any], str]:
    from modules.library.hashes import Hashes

    return Hashes(settings.data_dir / "data").short
