"""`/api/v2` on a whole installation with an engine that paints the seed."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from modules.api.server import listen
from modules.api.v2.app import PREFIX, v2_app
from modules.plugins.manager import Plugins
from modules.services.access import Exposure
from modules.services.inputs import InputPictures
from modules.services.worker import InProcessWorker
from modules.ui.visitor import Visitors
from tests.services.fakes import FakeGenerate, House, house, service

ANNA, BERT = "a" * 32, "b" * 32
PROJECT = Path(__file__).resolve().parents[3]


@dataclass
class Face:
    """What the API asks of the page."""

    version: str = "0.1.0"
    visitors: type[Visitors] = Visitors


@dataclass
class Here:
    """The application and the queue behind it."""

    house: House
    app: object
    engine: FakeGenerate
    clients: list[TestClient] = field(default_factory=list)

    def client(self, visitor: str = ANNA, peer: str = "127.0.0.1") -> TestClient:
        made = TestClient(
            self.app,
            base_url="http://127.0.0.1:7860",
            cookies={"noisette_visitor": visitor} if visitor else {},
            client=(peer, 5000),
            raise_server_exceptions=False,
        )
        self.clients.append(made)
        return made


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
    found = Here(made, app, engine)
    yield found
    for client in found.clients:
        client.close()
    made.studio.close(2.0)


@pytest.fixture
def server(here: Here) -> Iterator[str]:
    """The application on a port of this machine; its address."""
    app = FastAPI(openapi_url=None)
    app.mount(PREFIX, here.app)
    with listen("127.0.0.1", 0) as sock:
        running = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        running.should_exit = True
        thread.join(10)
