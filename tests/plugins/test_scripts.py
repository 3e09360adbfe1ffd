"""How clients of `/sdapi/v1` call extensions, and routes at well-known addresses."""

import base64
import io
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from modules.api.foreign import mount_foreign_routes
from modules.errors import ExtensionError, UnknownNameError, UserError
from modules.plugins.manager import FAILED, Plugins
from modules.plugins.scripts import Scripts

MANIFEST = """
name = "{name}"
title = "The {name}"
version = "1"
noisette = ">=0.1"
plugin = "plugin:Page"
"""
PLAIN = """
from modules.plugins import Options, hookimpl

class Mine(Options):
    amount: float = 1.0
    mode: str = "a"

class Page:
    @hookimpl
    def register_options(self):
        return Mine
"""
RICH = (
    PLAIN
    + """
    @hookimpl
    def register_scripts(self):
        from modules.plugins import Script
        return [
            Script("Loud", aliases=("LOUD m2m",), read="script:read", images="script:maps", serves=("prompt_styles",)),
            Script("Chosen", always_on=False),
        ]

    @hookimpl
    def register_foreign_api(self):
        from modules.plugins import ForeignRoutes
        return ForeignRoutes({paths!r}, build="script:router")
"""
)
SCRIPT = """
from fastapi import APIRouter
from PIL import Image
from modules.plugins import problem

def read(args, keep):
    if args == ["oops"]:
        raise ValueError("oops")
    if args == ["no"]:
        raise problem("No.", "不。")
    return 7 if args == [7] else {"enabled": True, "mode": keep(args[0])} if args else None

def maps(options):
    return [Image.new("RGB", (2, 2), options.mode)]

def router(host, queue):
    made = APIRouter()

    @made.get("/loud/one")
    def one() -> dict[str, str]:
        return {"name": host.name, "kept": queue.keep("x")}

    @made.post("/loud/two/{name}")
    def two(name: str) -> None:
        if name == "no":
            raise problem("No.", "不。")
        raise ValueError(name)

    return made
"""


class Queue:
    def keep(self, image):
        return f"<{image}>"


def write(folder: Path, name: str, plugin: str, script: str = "") -> None:
    (folder / name).mkdir()
    (folder / name / "extension.toml").write_text(MANIFEST.format(name=name), "utf-8")
    (folder / name / "plugin.py").write_text(plugin, "utf-8")
    if script:
        (folder / name / "script.py").write_text(script, "utf-8")


@pytest.fixture
def plugins(tmp_path):
    write(tmp_path, "plain", PLAIN)
    paths = ("/loud/one", "/loud/two/{name}")
    write(tmp_path, "loud", RICH.replace("{paths!r}", repr(paths)), SCRIPT)
    found = Plugins.load(tmp_path)
    assert [report.reason for report in found.reports] == [None, None]
    yield found
    found.close()


@pytest.mark.parametrize("title", ["The plain", "PLAIN", " the PLAIN "])
def test_one_that_says_nothing_is_called_by_its_title_and_name(plugins, title):
    scripts = Scripts(plugins)
    called = scripts.find(title, always_on=True)
    assert called.extension == "plain"
    assert [arg.label for arg in called.args] == ["enabled", "amount", "mode"]
    assert called.args[1].value == 1.0
    for args, options in (
        ({"amount": 2}, {"enabled": True, "amount": 2}),
        ([{"amount": 2}], {"enabled": True, "amount": 2}),
        ([True, 2.0], {"enabled": True, "amount": 2.0}),
        ([False], {"enabled": False}),
        ([], None),
    ):
        assert scripts.read(called, args, str) == options
    with pytest.raises(UserError, match="3 at the most"):
        scripts.read(called, [True, 1, "a", "b"], str)


def test_one_that_translates(plugins):
    scripts = Scripts(plugins)
    called = scripts.find("loud M2M", always_on=True)
    assert scripts.serving("prompt_styles") == called and scripts.serving("extras") is None
    assert scripts.read(called, ["red"], lambda image: image) == {"enabled": True, "mode": "red"}
    assert scripts.read(called, [], str) is None
    (image,) = scripts.images(called, called.options(mode="red"))
    assert image.getpixel((0, 0)) == (255, 0, 0)
    assert scripts.images(scripts.find("plain", always_on=True), called.options()) == ()
    with pytest.raises(ExtensionError, match="oops"):
        scripts.read(called, ["oops"], str)
    with pytest.raises(ExtensionError, match="Mapping"):
        scripts.read(called, [7], str)
    with pytest.raises(UserError, match=r"^No\.$"):
        scripts.read(called, ["no"], str)


def test_names_that_are_none(plugins):
    scripts = Scripts(plugins)
    with pytest.raises(UnknownNameError, match="The plain"):
        scripts.find("nobody", always_on=True)
    with pytest.raises(UserError, match="script_name"):
        scripts.find("chosen", always_on=True)
    assert scripts.find("chosen", always_on=False).extension == "loud"
    assert Scripts(None).all() == ()
    plugins.disable("plain")
    with pytest.raises(UnknownNameError):
        scripts.find("plain", always_on=True)


def test_routes_at_well_known_addresses(plugins):
    app = FastAPI()
    mount_foreign_routes(app, plugins, Queue())
    client = TestClient(app, raise_server_exceptions=False)
    assert client.get("/loud/one").json() == {"name": "loud", "kept": "<x>"}
    refused = client.post("/loud/two/no")
    told = refused.json()
    assert (refused.status_code, told["detail"], told["error"]) == (
        422,
        "No.",
        "error.extension.said",
    )
    assert told["messages"] == {"en": "No.", "zh": "不。"}
    broken = client.post("/loud/two/x")
    assert broken.status_code == 500 and "loud" in broken.json()["detail"]
    assert "loud" in broken.json()["messages"]["zh"]
    assert client.get("/loud/two/x").status_code == 405
    paths = {(route.path, *sorted(route.methods)) for route in app.routes if ":" in route.name}
    assert paths == {("/loud/one", "GET"), ("/loud/two/{name}", "POST")}
    plugins.disable("loud")
    off = client.get("/loud/one")
    assert off.status_code == 404 and off.json()["messages"]["zh"] != off.json()["detail"]


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (("/ui/one",), "/ui/one"),
        (("/one",), "/one"),
        (("/loud/../x",), "cannot be"),
        ((), "empty"),
    ],
)
def test_addresses_that_cannot_be_given_away(tmp_path, paths, why):
    write(tmp_path, "loud", RICH.replace("{paths!r}", repr(paths)), SCRIPT)
    plugins = Plugins.load(tmp_path)
    (report,) = plugins.reports
    assert report.state == FAILED and why in str(report.reason)
    plugins.close()


@pytest.mark.parametrize(
    ("paths", "taken", "why"),
    [
        (("/loud/one",), (), "differ"),
        (("/loud/one", "/loud/two/{name}"), ("/loud/one",), "taken"),
    ],
)
def test_an_extension_whose_addresses_are_wrong_is_out(tmp_path, paths, taken, why):
    write(tmp_path, "loud", RICH.replace("{paths!r}", repr(paths)), SCRIPT)
    plugins = Plugins.load(tmp_path)
    app = FastAPI()
    mount_foreign_routes(app, plugins, Queue(), taken)
    (report,) = plugins.reports
    assert report.state == FAILED and why in str(report.reason)
    assert TestClient(app).get("/loud/one").status_code == 404
    plugins.close()


def test_pictures_of_clients():
    from modules.api.waiting import decode_image

    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    plain = base64.b64encode(buffer.getvalue()).decode()
    wrapped = "\n".join(plain[i : i + 20] for i in range(0, len(plain), 20))
    for text in (
        plain,
        wrapped,
        f"data:image/png;base64,{plain}",
        f" DATA:image/PNG;base64,{plain}",
    ):
        assert decode_image(text) == buffer.getvalue()
    for text in ("http://x/y.png", "file:///etc/passwd", "%%%", "data:text/html;base64,AAAA", "é"):
        with pytest.raises(UserError):
            decode_image(text)
