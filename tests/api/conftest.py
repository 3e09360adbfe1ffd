"""The whole web application on the fake studio, spoken to without a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from modules.api.server import create_app
from modules.plugins.manager import Plugins
from modules.settings import Settings
from modules.ui.shell import Page, build_page
from tests.ui.fake_studio import FakeStudio

HOST = "127.0.0.1:7860"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def studio(data_dir: Path) -> Iterator[FakeStudio]:
    studio = FakeStudio(data_dir, seconds_per_step=0.0)
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def page(studio: FakeStudio, data_dir: Path) -> Page:
    return build_page(studio, Plugins.load(data_dir / "extensions"), "0.1.0")


@pytest.fixture(scope="module")
def app(studio: FakeStudio, page: Page, data_dir: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_SHARE", "true")
        patch.setenv("GRADIO_TEMP_DIR", "elsewhere")
        yield create_app(studio, page, Settings(data_dir=data_dir))


@pytest.fixture(scope="module")
def client(app) -> Iterator[TestClient]:
    with TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False) as client:
        yield client
