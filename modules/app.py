"""Builds every long-lived object once and hands it on: the only file that knows all rooms.

Imports of rooms that only one process needs stand inside the function that needs them: the page's process must not
import torch, the worker must not import gradio.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules import __version__
from modules.errors import ModelFileError
from modules.imaging.pictures import cap_pillow
from modules.plugins.inside import Board
from modules.plugins.manager import Inside, Places, Plugins, Process
from modules.plugins.switches import Switches
from modules.schema import ModelCard
from modules.services.dispatcher import Dispatcher
from modules.services.door import Door
from modules.services.drafts import Drafts
from modules.services.extensions import Extensions
from modules.services.front import Studio
from modules.services.generation import GenerationService, Previews
from modules.services.harden import harden
from modules.services.hub import Hub
from modules.services.inputs import InputPictures, KeepingPictures
from modules.services.jobs import JobStore
from modules.services.models import Models
from modules.services.names import SamplerNames
from modules.services.outputs import Outputs
from modules.services.reach import Reach
from modules.services.rebuild import mend
from modules.services.sharing import Sharing
from modules.services.vaes import VaeFiles, Vaes
from modules.services.worker import ChildWorker, InProcessWorker, Worker
from modules.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from modules.library.cards import Problem
    from modules.library.hashes import Hashes
    from modules.library.pickles import Converter
    from modules.library.scan import WeightFile


VAES = "vae"
"""The folder of VAE files, below that of the models."""


@dataclass(frozen=True)
class App:
    """The running program: what answers requests, what does the work, and how both end."""

    asgi: "ASGIApp"
    studio: Studio
    close: Callable[[], None]


def build_app(
    settings: Settings,
    door: Door | None = None,
    reach: Reach | None = None,
    sharing: Sharing | None = None,
    worker: Worker | None = None,
) -> App:
    """The page and the queue behind it; `studio.start()` sets the queue going, once the page answers.

    `door` says whom to let in, where others can reach it, `reach` under which names, and `sharing` has the public
    link; `worker` makes the pictures, by default in a process of its own. Whoever calls this holds the lock of the
    data folder (`services.instance`).
    """
    cap_pillow()
    mend(settings.database, Outputs(settings.outputs_dir))
    studio, plugins = _studio_and_plugins(settings, worker or ChildWorker(settings))

    from modules.api.server import create_app
    from modules.ui.shell import build_page

    page = build_page(studio, plugins, __version__)

    def close() -> None:
        if sharing is not None:
            sharing.close()
        studio.close()
        plugins.close()

    desk = Extensions(plugins)
    desk.recover()
    asgi = create_app(
        studio,
        page,
        settings,
        plugins=plugins,
        desk=desk,
        door=door,
        reach=reach,
        sharing=sharing,
        hash_of=_hashes(settings).known,
    )
    plugins.laid_out()
    return App(asgi, studio, close)


def build_studio(settings: Settings, *, in_process: bool = False) -> Studio:
    """The queue without a page, for the command line; with `in_process` this process does the work itself."""
    worker = InProcessWorker(lambda: build_worker(settings)) if in_process else None
    return _studio_and_plugins(settings, worker)[0]


def build_worker(settings: Settings) -> GenerationService:
    """What makes the pictures; this is where torch comes in."""
    harden()
    cap_pillow()
    from modules.diffusion.pipeline import generate
    from modules.library.cache import ModelCache
    from modules.library.embeddings import FOLDER, Shelf
    from modules.library.load import load, load_vae, prepare, release

    prepare()  # some seconds of imports, while nobody waits
    models = _models(settings)
    converter = _converter(settings)
    shelf = Shelf(settings.models_dir / FOLDER, converter)
    hashes = _hashes(settings)

    def loaded(card: Any) -> Any:
        return load(card, settings.device, settings.precision, shelf.fitting, converter.known)

    def loaded_vae(path: Path, parts: Any) -> Any:
        return load_vae(path, parts, converter.get)

    board = Board(settings.running_file)
    inputs = KeepingPictures(_inputs_folder(settings))
    plugins = _plugins(settings, "worker", board.inside, inputs)
    return GenerationService(
        find_model=models.find,
        cache=ModelCache(settings.model_cache_bytes, loaded, release),
        plugins=plugins,
        outputs=Outputs(settings.outputs_dir),
        hashes=hashes.short,
        names=SamplerNames(plugins.samplers),
        generate=generate,
        limits=settings.limits,
        previews=Previews(settings.spool_dir, settings.preview_every),
        version=__version__,
        inputs=inputs,
        kept=inputs.taken,
        upscalers=plugins.upscaling,
        samplers=plugins.samplers,
        vaes=Vaes(_vae_files(settings), loaded_vae, hashes.short_of),
        misfits=shelf.misfits,
    )


def _studio_and_plugins(settings: Settings, worker: Worker | None) -> tuple[Studio, Plugins]:
    plugins = _plugins(settings)
    store = JobStore(settings.database)
    hub = Hub()
    outputs = Outputs(settings.outputs_dir)
    dispatcher = None
    if worker is not None:
        dispatcher = Dispatcher(
            store, worker, hub, outputs, settings.spool_dir, plugins.publish, plugins.settle
        )
    studio = Studio(
        store=store,
        hub=hub,
        outputs=outputs,
        models=_models(settings),
        plugins=plugins,
        names=SamplerNames(plugins.samplers),
        limits=settings.limits,
        spool_dir=settings.spool_dir,
        inputs=_inputs(settings),
        drafts=Drafts(settings.data_dir / "data" / "drafts.sqlite3"),
        vaes=_vae_files(settings),
        embeddings=_embeddings(settings),
        default_model=settings.default_model,
        dispatcher=dispatcher,
        guests=settings.guests,
    )
    return studio, plugins


def find_files(settings: Settings) -> "tuple[tuple[WeightFile, ...], tuple[Problem, ...]]":
    """Every weight file that is no checkpoint, whatever it is, each named by its path below the models folder."""
    from modules.library.cards import Problem
    from modules.library.scan import CHECKPOINTS, scan_files
    from modules.library.single import describe

    converted = _converter(settings).known
    found: list[WeightFile] = []
    problems: list[Problem] = []
    folder = settings.models_dir
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        if each.is_dir() and each.name != CHECKPOINTS and not each.name.startswith("."):
            files, wrong = scan_files(each, converted)
            problems += wrong
            for file in files:
                if each.name == VAES and file.identity.kind != "vae":
                    what = describe(file.identity)
                    error = ModelFileError("error.model.not_vae", file=file.path, found=what)
                    problems.append(Problem(file.path, error))
                else:
                    found.append(replace(file, name=f"{each.name}/{file.name}"))
    return tuple(found), tuple(problems)


def _vae_files(settings: Settings) -> VaeFiles:
    from modules.library.single import check_vae

    converted = _converter(settings).known
    return VaeFiles(
        settings.models_dir / VAES, lambda path, family: check_vae(path, family, converted)
    )


def _inputs(settings: Settings) -> InputPictures:
    return InputPictures(_inputs_folder(settings))


def _inputs_folder(settings: Settings) -> Path:
    return settings.data_dir / "data" / "inputs"


def _plugins(
    settings: Settings,
    process: Process = "page",
    inside: Inside | None = None,
    inputs: InputPictures | None = None,
) -> Plugins:
    return Plugins.load(
        settings.extensions_dir,
        switches=Switches(settings.extensions_file),
        places=Places(
            settings.models_dir,
            settings.data_dir / "data" / "extensions",
            settings.device,
            settings.converted_dir,
            inputs or _inputs(settings),
        ),
        process=process,
        safe_mode=settings.safe_mode,
        inside=inside,
    )


def _models(settings: Settings) -> Models:
    from modules.library.cards import find
    from modules.library.scan import scan

    converted = _converter(settings).known
    return Models(lambda: scan(settings.models_dir, converted), find, settings.default_model)


def _embeddings(settings: Settings) -> Callable[[ModelCard], Mapping[str, int]]:
    from modules.library.inversions import FOLDER, Inversions

    return Inversions(settings.models_dir / FOLDER, _converter(settings).known).fitting


def _converter(settings: Settings) -> "Converter":
    from modules.library.pickles import Converter

    return Converter(settings.converted_dir)


def _hashes(settings: Settings) -> "Hashes":
    from modules.library.hashes import Hashes

    return Hashes(settings.data_dir / "data")
