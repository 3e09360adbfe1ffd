"""Who may change extensions over HTTP, and what the routes of extensions can do to the page: nothing."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from modules.api import extensions as api
from modules.api.extensions import extension_routes, mount_own_routes
from modules.plugins.manager import FAILED, Plugins
from modules.plugins.switches import Switches
from modules.services.access import Exposure
from modules.services.extensions import Extensions
from tests.plugins.write import write

PLAIN = """
from modules.plugins import Options, hookimpl
class Extension:
    @hookimpl
    def register_options(self):
        return Options
"""
ROUTES = """
from modules.plugins import Routes, hookimpl
class Extension:
    @hookimpl
    def register_api(self):
        return Routes("api:router")
"""
API = """
from fastapi import APIRouter
def router():
    router = APIRouter()
    @router.get("/hello/{name}")
    def hello(name: str, times: int = 1) -> dict[str, str]:
        return {"said": f"hello {name} " * times}
    @router.get("/broken")
    def broken() -> None:
        raise KeyError("x")
    @router.get("/stuck")
    def stuck() -> None:
        import time
        time.sleep(1.5)
    return router
"""
HERE = "http://localhost:7860"


class Looks:
    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins

    def extensions(self) -> Any:
        return self._plugins.reports


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "extensions"
    write(folder, "plain", PLAIN)
    write(folder, "talker", ROUTES, api=API)
    write(tmp_path / "elsewhere", "fresh", PLAIN)
    return folder


@pytest.fixture
def plugins(folder: Path, tmp_path: Path) -> Iterator[Plugins]:
    loaded = Plugins.load(folder, switches=Switches(tmp_path / "data" / "extensions.json"))
    yield loaded
    loaded.close()


def client(
    plugins: Plugins, exposure: Exposure, url: str = HERE, address: str = "127.0.0.1"
) -> TestClient:
    app = FastAPI()
    app.include_router(extension_routes(Looks(plugins), Extensions(plugins), exposure))  # type: ignore[arg-type]
    mount_own_routes(app, plugins)
    return TestClient(app, base_url=url, client=(address, 5), raise_server_exceptions=False)


@pytest.fixture
def here(plugins: Plugins) -> TestClient:
    return client(plugins, Exposure())


CALLS = [
    ("preview", {"source": "x"}),
    ("install", {"id": "x"}),
    ("discard", {"id": "x"}),
    ("plain/update", {}),
    ("plain/enable", {}),
    ("plain/disable", {}),
    ("plain/rollback", {}),
    ("plain/remove", {}),
]
STRANGERS = {
    "listens everywhere": (Exposure("0.0.0.0"), HERE, "127.0.0.1", {}),
    "listens in the network": (Exposure("192.168.1.5"), HERE, "127.0.0.1", {}),
    "shared by a tunnel": (Exposure(shared=True), HERE, "127.0.0.1", {}),
    "another address": (Exposure(), HERE, "192.168.1.9", {}),
    "another name": (Exposure(), "http://abc.example.org", "127.0.0.1", {}),
    "through a proxy": (Exposure(), HERE, "127.0.0.1", {"X-Forwarded-For": "10.0.0.1"}),
}


@pytest.mark.parametrize("who", sorted(STRANGERS))
def test_a_stranger_changes_nothing(plugins: Plugins, folder: Path, who: str) -> None:
    exposure, url, address, headers = STRANGERS[who]
    before = sorted(folder.iterdir())
    state = plugins.switches.read()
    stranger = client(plugins, exposure, url, address)
    for path, body in CALLS:
        answer = stranger.post(f"/ui/extensions/{path}", json=body, headers=headers)
        assert answer.status_code == 403, path
        assert "at this machine" in answer.json()["detail"]["en"]
    assert (sorted(folder.iterdir()), plugins.switches.read()) == (before, state)


@pytest.mark.parametrize("who", sorted(STRANGERS))
def test_a_stranger_sees_no_paths_and_no_tracebacks(
    plugins: Plugins, folder: Path, who: str
) -> None:
    write(folder, "broken", "raise RuntimeError('no')")
    plugins.refresh()
    exposure, url, address, headers = STRANGERS[who]
    answer = client(plugins, exposure, url, address).get("/ui/extensions", headers=headers)
    assert answer.json()["admin"] is False
    assert "traceback" not in answer.json()["extensions"][0]
    assert str(folder) not in answer.text
    mine = client(plugins, Exposure()).get("/ui/extensions").json()
    assert "RuntimeError: no" in mine["extensions"][0]["traceback"]


def test_off_on_and_away(here: TestClient, plugins: Plugins) -> None:
    def states() -> dict[str, str]:
        rows = here.get("/ui/extensions").json()["extensions"]
        return {row["name"]: row["state"] for row in rows}

    assert states() == {"plain": "active", "talker": "active"}
    assert here.post("/ui/extensions/plain/disable", json={}).status_code == 200
    assert states()["plain"] == "disabled"
    here.post("/ui/extensions/plain/enable", json={})
    here.post("/ui/extensions/plain/remove", json={})
    assert states().keys() == {"talker"}
    assert here.get("/ui/extensions").json()["removed"] == ["plain"]
    here.post("/ui/extensions/plain/rollback", json={})
    assert states()["plain"] == "active"


def test_look_then_yes(here: TestClient, tmp_path: Path, folder: Path) -> None:
    asked = {"source": str(tmp_path / "elsewhere" / "fresh")}
    preview = here.post("/ui/extensions/preview", json=asked).json()["preview"]
    assert (preview["name"], preview["permissions"], preview["packages"]) == ("fresh", [], [])
    assert not (folder / "fresh").exists()
    assert here.post("/ui/extensions/install", json={"id": preview["id"]}).json() == {
        "name": "fresh"
    }
    assert (folder / "fresh" / "plugin.py").is_file()
    again = here.post("/ui/extensions/install", json={"id": preview["id"]})
    assert "Look at it again" in again.json()["error"]["en"]


@pytest.mark.parametrize("name", ["..", ".trash", "%2e%2e", "nothing", "a%2fb", "..%2f..%2fetc"])
@pytest.mark.parametrize("what", ["remove", "rollback", "disable"])
def test_only_names_of_extensions(here: TestClient, folder: Path, name: str, what: str) -> None:
    before = sorted(folder.rglob("*"))
    assert here.post(f"/ui/extensions/{name}/{what}", json={}).status_code in (404, 405)
    assert sorted(path for path in folder.rglob("*") if path.name != ".lock") == before


def test_an_extensions_own_route(here: TestClient) -> None:
    answer = here.get("/extensions/talker/hello/you?times=2")
    assert answer.json() == {"said": "hello you hello you "}
    assert here.get("/extensions/talker/hello/you?times=x").status_code == 422


def test_its_error_names_it(here: TestClient) -> None:
    answer = here.get("/extensions/talker/broken")
    assert answer.status_code == 500
    assert "talker failed: KeyError" in answer.json()["error"]["en"]


def test_one_that_hangs_is_given_up(here: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ROUTE_SECONDS", 0.3)
    began = time.monotonic()
    answer = here.get("/extensions/talker/stuck")
    assert answer.status_code == 504
    assert "talker did not come back" in answer.json()["error"]["en"]
    assert time.monotonic() - began < 20


def test_one_that_is_off_answers_why(here: TestClient, plugins: Plugins) -> None:
    plugins.disable("talker")
    answer = here.get("/extensions/talker/hello/you")
    assert answer.status_code == 404
    assert "talker is off" in answer.json()["error"]["en"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def router():\n    return 5", "has to give APIRouter, not int"),
        ("import nowhere", "nowhere"),
        ("def router():\n    raise KeyError(1)", "KeyError"),
        (
            "from fastapi import APIRouter\ndef router():\n    r = APIRouter()\n"
            "    @r.get('/x')\n    async def slow(): ...\n    return r",
            "slow is an 'async def'",
        ),
    ],
)
def test_routes_that_cannot_be_used(plugins: Plugins, folder: Path, code: str, said: str) -> None:
    write(folder, "bad", ROUTES, api=code)
    plugins.refresh()
    here = client(plugins, Exposure())
    report = {report.name: report for report in plugins.reports}["bad"]
    assert report.state == FAILED
    assert said in str(report.reason)
    assert here.get("/extensions/talker/hello/you").status_code == 200
