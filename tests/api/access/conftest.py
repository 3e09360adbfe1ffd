"""The whole application as others reach it: listening everywhere, with every extension that comes along."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.routing import Mount
from starlette.testclient import TestClient

from modules.api.server import create_app
from modules.plugins.manager import Places, Plugins
from modules.services.access import Exposure
from modules.services.door import Door
from modules.services.extensions import Extensions
from modules.services.inputs import InputPictures
from modules.services.passes import Passes
from modules.services.reach import Reach
from modules.settings import Settings
from modules.ui.shell import Page, build_page
from tests.ui.fake_studio import FakeStudio

PROJECT = Path(__file__).resolve().parents[3]
HOST = "192.168.1.5:7860"
PASSWORD = "hazel nuts for all"
BROUGHT = tuple(
    sorted(path.parent.name for path in (PROJECT / "extensions").glob("*/extension.toml"))
)
"""What comes along: an extension that brings routes or functions of the page brings them into these tests."""
OWN_PLUGIN = """
from modules.plugins import Routes, Tab, hookimpl


class Own:
    @hookimpl
    def register_api(self) -> Routes:
        return Routes()

    @hookimpl
    def register_tabs(self):
        return [Tab("Own", "自有")]
"""
OWN_API = """
from fastapi import APIRouter


def router() -> APIRouter:
    made = APIRouter()

    @made.get("/secret")
    def secret() -> dict[str, str]:
        return {"told": "everything"}

    return made
"""
OWN_TAB = """
import gradio as gr


def build(t):
    told = gr.Textbox()
    gr.Button("own-button-of-the-owner").click(lambda: "told-everything", outputs=told, api_name="tell")
"""


@dataclass
class Shared:
    """The application and what its parts are."""

    app: object
    parent: FastAPI
    page: Page
    studio: FakeStudio
    door: Door
    reach: Reach
    passes: Passes
    folder: Path
    settings: Settings
    clients: list[TestClient] = field(default_factory=list)

    def client(
        self, *, secret: str = "", peer: str = "192.168.1.9", host: str = HOST
    ) -> TestClient:
        """A caller somewhere else, logged in where a secret is given."""
        made = TestClient(
            self.app,
            base_url=f"http://{host}",
            client=(peer, 5000),
            raise_server_exceptions=False,
            follow_redirects=False,
        )
        self.clients.append(made)
        if secret:
            answer = made.post("/login", data={"secret": secret})
            assert answer.status_code == 303, answer.text
        return made


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    extensions = folder / "extensions"
    extensions.mkdir()
    for name in BROUGHT:
        (extensions / name).symlink_to(PROJECT / "extensions" / name)
    own = extensions / "own"
    own.mkdir()
    manifest = (
        'name = "own"\ntitle = "Own"\nversion = "1.0"\nplugin = "plugin:Own"\nnoisette = ">=0.1"\n'
    )
    for name, text in {
        "extension.toml": manifest,
        "plugin.py": OWN_PLUGIN,
        "api.py": OWN_API,
        "tab.py": OWN_TAB,
    }.items():
        (own / name).write_text(text, encoding="utf-8")
    inputs = InputPictures(folder / "data" / "inputs")  # the same folder as the studio's
    places = Places(PROJECT / "models", folder / "data" / "e", pictures=inputs)
    plugins = Plugins.load(extensions, places=places)
    states = {report.name: report.state for report in plugins.reports}
    assert {states[name] for name in (*BROUGHT, "own")} == {"active"}, states
    studio = FakeStudio(folder, seconds_per_step=0.0, plugins=plugins)
    settings = Settings(data_dir=folder, host="0.0.0.0")
    passes = Passes(folder / "data" / "tokens.json")
    door = Door(Exposure("0.0.0.0"), password=PASSWORD, passes=passes)
    reach = Reach("0.0.0.0")
    page = build_page(studio, plugins, "0.1.0")
    app = create_app(
        studio, page, settings, plugins=plugins, desk=Extensions(plugins), door=door, reach=reach
    )
    made = Shared(app, app._app._app, page, studio, door, reach, passes, folder, settings)
    with TestClient(app, base_url=f"http://{HOST}"):  # Gradio's queue starts with the application
        yield made
    for client in made.clients:
        client.close()
    studio.close()
    plugins.close()


@pytest.fixture(scope="session")
def guest(shared: Shared) -> TestClient:
    client = shared.client(secret=PASSWORD)
    assert client.get("/").status_code == 200
    return client


@pytest.fixture(scope="session")
def owner(shared: Shared) -> TestClient:
    return shared.client(secret=shared.door.owner_key)


@pytest.fixture
def stranger(shared: Shared) -> TestClient:
    return shared.client(peer="203.0.113.7")


def routes(parent: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and address of the running application, what is mounted included."""
    yield from _walk(parent.routes, "")


def _walk(found, prefix: str) -> Iterator[tuple[str, str]]:
    for route in found:
        inner: Callable | None = getattr(route, "effective_candidates", None)
        if inner is not None:
            yield from _walk(inner(), prefix)
        elif isinstance(route, Mount):
            app = route.app
            while not hasattr(app, "routes") and hasattr(app, "_app"):
                app = app._app
            yield from _walk(app.routes, prefix + route.path)
        else:
            for method in sorted(route.methods):
                yield method, prefix + route.path
