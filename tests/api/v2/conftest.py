"""`/api/v2` on a whole installation with an engine that paints the seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI

from modules.api.v2.app import PREFIX, v2_app
from modules.plugins.manager import Plugins
from modules.services.access import Exposure
from modules.services.inputs import InputPictures
from modules.services.worker import InProcessWorker
from tests.api.callers import PROJECT, Callers, Face, serving
from tests.services.fakes import FakeGenerate, House, house, service


@dataclass
class Here(Callers):
    """The application and the queue behind it."""

    house: House
    engine: FakeGenerate


@pytest.fixture
def engine() -> FakeGenerate:
    return FakeGenerate()


@pytest.fixture(scope="session")
def plugins(tmp_path_factory) -> Iterator[Plugins]:
    folder = tmp_path_factory.mktemp("extensions")
    (folder / "freeu").symlink_to(PROJECT / "extensions" / "freeu")
    plugins = Plugins.load(folder)
    yield plugins
    plugins.close()


@pytest.fixture
def here(tmp_path: Path, engine: FakeGenerate, plugins: Plugins) -> Iterator[Here]:
    inputs = InputPictures(tmp_path / "data" / "inputs")
    worker = InProcessWorker(lambda: service(tmp_path, engine, inputs=inputs))
    made = house(tmp_path, worker=worker)
    app = v2_app(made.studio, Face(), Exposure(), plugins=plugins, max_upload=100_000)
    found = Here(app, made, engine)
    yield found
    found.leave()
    made.studio.close(2.0)


@pytest.fixture
def server(here: Here) -> Iterator[str]:
    """The application on a port of this machine; its address."""
    app = FastAPI(openapi_url=None)
    app.mount(PREFIX, here.app)
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}"
