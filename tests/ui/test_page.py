"""The page is built from what the studio and the extensions say; it never pulls in torch."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from pydantic import Field

from modules.errors import ExtensionError
from modules.plugins import Options
from modules.plugins.manager import Plugins
from modules.schema import GenerationRequest
from modules.ui.bind import GROUPS, MARK
from modules.ui.draft import sound
from modules.ui.fields import Tab
from modules.ui.handlers import Handlers
from modules.ui.i18n import page_texts
from modules.ui.panels import control_for
from modules.ui.shell import Page, build_page
from modules.ui.visitor import Visitors
from tests.ui.fake_studio import FakeStudio, Scan

PROJECT = Path(__file__).resolve().parents[2]
MANIFEST = (
    'name = "{name}"\ntitle = "{name}"\nversion = "1.0"\nnoisette = ">=0.1"\nplugin = "plugin:It"\n'
)
PLUGIN = """
from typing import Literal
from pydantic import Field
from modules.plugins import Options, Panel, hookimpl

class ItOptions(Options):
    loud: int = Field(default=3, ge=0, le=11, title="Loud", json_schema_extra={"title_zh": "响"})
    way: Literal["up", "down"] = "up"
    word: str = ""
    maybe: float | None = None

class It:
    @hookimpl
    def register_options(self):
        return ItOptions

    @hookimpl
    def register_panels(self):
        return [Panel(tab="txt2img", title="Louder", title_zh="更响", build=BUILD)]
"""


def extension(folder: Path, name: str, build: str | None = None, panel: str = "") -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "extension.toml").write_text(MANIFEST.format(name=name))
    (folder / name / "plugin.py").write_text(PLUGIN.replace("BUILD", repr(build)))
    (folder / name / "panel.py").write_text(panel)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path_factory.mktemp("ui"), seconds_per_step=0)
    yield studio
    studio.close()


def built(studio: FakeStudio, extensions: Path) -> tuple[Page, Plugins]:
    plugins = Plugins.load(extensions)
    page = build_page(studio, plugins, "0.1.0")
    page.build()
    return page, plugins


def inputs_of(page: Page, name: str) -> list[str]:
    for function in page.blocks.fns.values():
        if function.api_name == name:
            return list(function.input_keyword_names)
    raise AssertionError(name)


ON_THE_PAGE = {"enabled", "mode"}  # what turns a group on, and img2img's way of work
INSIDE = {"inpaint", "outpaint", "soft"}  # groups within groups


@pytest.mark.parametrize(
    ("tab", "left_out", "further"),
    [
        ("txt2img", {"img2img", *INSIDE}, set()),
        ("img2img", {"hires"}, {"batch", "resize"}),
    ],
)
def test_a_control_for_each_field_of_a_request(
    studio: FakeStudio, tmp_path: Path, tab: str, left_out: set[str], further: set[str]
):
    page, _ = built(studio, tmp_path)
    shown: dict[str, set[str]] = {}
    for name in inputs_of(page, tab):
        group, mark, field = name.partition(MARK)
        shown.setdefault(group if mark else "", set()).add(field if mark else name)
    own = GenerationRequest.model_fields.keys() - {"extras", "postprocess", *GROUPS}
    assert shown.pop("") == own
    assert shown.keys() - further == GROUPS.keys() - left_out
    for group in shown.keys() - further:
        fields = GROUPS[group].model_fields.keys() - INSIDE
        assert shown[group] - ON_THE_PAGE == fields - ON_THE_PAGE, group


def test_controls_from_typed_options(studio: FakeStudio, tmp_path: Path):
    extension(tmp_path, "louder")
    page, plugins = built(studio, tmp_path)
    assert {"louder__enabled", "louder__loud", "louder__way"} < set(inputs_of(page, "txt2img"))
    panels = plugins.panels("txt2img")
    assert page_texts("zh", panels)["ui.extension.louder"] == "更响"
    assert page_texts("zh", panels)["ui.extension.louder.loud"] == "响"
    assert page_texts("en", panels)["ui.extension.louder.way"] == "Way"


def test_a_panel_of_its_own(studio: FakeStudio, tmp_path: Path):
    own = "import gradio as gr\ndef build(options):\n    return {'loud': gr.Number(value=7)}\n"
    extension(tmp_path, "own", "panel:build", own)
    page, _ = built(studio, tmp_path)
    assert [name for name in inputs_of(page, "txt2img") if name.startswith("own__")] == [
        "own__loud"
    ]


@pytest.mark.parametrize(
    "panel",
    [
        "import gradio as gr\ndef build(options):\n    gr.Number()\n    raise RuntimeError('no luck')\n",
        "import gradio as gr\ndef build(options):\n    return {'nonsense': gr.Number()}\n",
        "def build(options):\n    return 5\n",
        "import nowhere\n",
        "build = 5\n",
    ],
)
def test_a_panel_that_fails_leaves_a_line_and_no_trace(
    studio: FakeStudio, tmp_path: Path, panel: str
):
    extension(tmp_path, "bad", "panel:build", panel)
    extension(tmp_path, "good")
    page, plugins = built(studio, tmp_path)
    parts = {name.partition(MARK)[0] for name in inputs_of(page, "txt2img") if MARK in name}
    assert parts - GROUPS.keys() == {"good"}
    report = {report.name: report for report in plugins.reports}["bad"]
    assert report.state == "failed"
    assert report.reason is not None
    shown = [c["props"].get("elem_id") for c in page.blocks.get_config_file()["components"]]
    assert "nz-panel-bad" not in shown
    assert "nz-panel-good" in shown


@pytest.mark.parametrize(
    ("name", "kind"),
    [("flag", gr.Checkbox), ("bounded", gr.Slider), ("open_end", gr.Number), ("text", gr.Textbox)],
)
def test_the_control_fits_the_type(name: str, kind: type):
    class Some(Options):
        flag: bool = True
        bounded: float = Field(default=1, ge=0, le=2)
        open_end: int = Field(default=1, ge=0)
        text: str = "x"

    assert type(control_for("some", name, Some.model_fields[name])) is kind


def test_without_any_model_the_page_stands_too(
    studio: FakeStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(FakeStudio, "models", lambda self: Scan(()))
    page, _ = built(studio, tmp_path)
    assert inputs_of(page, "txt2img")


def test_every_event_has_a_name_or_is_hidden(studio: FakeStudio, tmp_path: Path):
    page, _ = built(studio, tmp_path)
    public = {
        function.api_name
        for function in page.blocks.fns.values()
        if function.api_visibility == "public" and function.fn is not None
    }
    assert public == {"txt2img", "img2img"}


def test_no_event_waits_in_gradios_queue(studio: FakeStudio, tmp_path: Path):
    page, _ = built(studio, tmp_path)
    assert [fn.api_name for fn in page.blocks.fns.values() if fn.queue] == []


def test_a_draft_from_anywhere_is_taken_with_care():
    with gr.Blocks():
        fields = {
            "prompt": gr.Textbox(),
            "steps": gr.Slider(1, 150),
            "sampler": gr.Dropdown([("Euler", "euler")]),
            "width": gr.Number(),
        }
    draft = {
        "prompt": 5,
        "steps": 900,
        "sampler": "gone",
        "width": "wide",
        "unknown": 1,
    }
    assert sound(draft, fields) == {}
    good = {"prompt": "a", "steps": 20, "sampler": "euler", "width": 512}
    assert sound(good, fields) == good


@pytest.mark.parametrize(
    "draft", [None, [], "x", {"model": "gone"}, {"model": 5, "prompt": "kept"}]
)
def test_opening_the_page_always_works(studio: FakeStudio, draft: object):
    with gr.Blocks():
        fields = {
            "prompt": gr.Textbox(),
            "model": gr.Dropdown([("Pocket", "pocket")]),
            "width": gr.Number(),
        }
    handlers = Handlers(studio, Tab("txt2img"), fields)
    prompt, model, width, aspect, told = handlers.restore(draft, SimpleNamespace(cookies={}))
    assert model["value"] == "pocket"
    assert width == 128
    assert aspect == "1:1"
    assert told["kind"] == "restored"
    assert prompt == "kept" or not isinstance(prompt, str)


OLD_TEXT = (
    "a cat\nNegative prompt: dog\nSteps: 30, Sampler: DPM++ 2M Karras, CFG scale: 6, Seed: 4, "
    "Size: 192x128, Model: POCKET, Hires upscale: 2, Hires upscaler: Latent, Denoising strength: 0.4"
)


def recalled(studio: FakeStudio, page: Page, tab: str, **data: object) -> dict[str, object]:
    """What the controls of a tab are told, by name; those that stay are left out."""
    names = inputs_of(page, tab)
    fields = {name: page.blocks.blocks[number] for name, number in numbers_of(page, tab).items()}
    handlers = Handlers(studio, Tab(tab), fields)
    told = handlers.recall(SimpleNamespace(**data), SimpleNamespace(cookies={}))
    pairs = zip([*names, "told"], told, strict=True)
    return {n: v for n, v in pairs if not (isinstance(v, dict) and v.get("__type__") == "update")}


def numbers_of(page: Page, tab: str) -> dict[str, int]:
    for function in page.blocks.fns.values():
        if function.api_name == tab:
            ids = [component._id for component in function.inputs]
            return dict(zip(function.input_keyword_names, ids, strict=True))
    raise AssertionError(tab)


def test_a_text_of_another_program_fills_the_fields(studio: FakeStudio, tmp_path: Path):
    page, _ = built(studio, tmp_path)
    values = recalled(studio, page, "txt2img", what="text", text=OLD_TEXT)
    expected = {
        "prompt": "a cat", "negative_prompt": "dog", "steps": 30, "sampler": "dpmpp_2m",
        "schedule": "karras", "cfg_scale": 6, "seed": 4, "width": 192, "height": 128,
        "model": "pocket", "hires__enabled": True, "hires__scale": 2, "hires__upscaler": "Latent",
        "hires__denoising_strength": 0.4,
    }  # fmt: skip
    assert {name: values.get(name) for name in expected} == expected


def test_a_text_fills_the_panels_of_extensions(studio: FakeStudio, monkeypatch: pytest.MonkeyPatch):
    def read(parameters):
        assert dict(parameters) == {"Curve": "2", "Else": "1"}
        return {"curves": {"enabled": True, "amount": 2.0}}, {"Curve"}

    monkeypatch.setattr(studio, "read_parameters", read)
    with gr.Blocks():
        fields = {
            "prompt": gr.Textbox(),
            "curves__enabled": gr.Checkbox(),
            "curves__amount": gr.Number(),
            "frame__enabled": gr.Checkbox(value=True),
        }
    handlers = Handlers(studio, Tab("txt2img"), fields)
    data = SimpleNamespace(what="text", text=f"{OLD_TEXT}, Curve: 2, Else: 1")
    *values, told = handlers.recall(data, SimpleNamespace(cookies={}))
    assert values == ["a cat", True, 2.0, False]
    assert told["unused"] == ["Else: 1"]

    def broken(parameters):
        raise ExtensionError("error.extension.failed", extension="curves", why="no")

    monkeypatch.setattr(studio, "read_parameters", broken)
    *values, told = handlers.recall(data, SimpleNamespace(cookies={}))
    assert told["kind"] == "error" and "curves" in told["text"]["en"]


def test_a_request_that_is_none_is_refused_and_changes_nothing(studio: FakeStudio, tmp_path: Path):
    page, _ = built(studio, tmp_path)
    for wrong in ({"steps": "many"}, "x", None, {"img2img": {"image": "../x"}}):
        values = recalled(studio, page, "img2img", what="request", request=wrong)
        assert values.keys() == {"told"}
        assert values["told"]["kind"] == "error"


def test_visitors():
    one = Visitors.new()
    assert Visitors.of({Visitors.cookie: one}) == one
    assert Visitors.of({Visitors.cookie: "x"}) == Visitors.anonymous
    assert Visitors.of({}) == Visitors.of(None) == Visitors.anonymous


def test_the_page_process_never_imports_torch(tmp_path: Path):
    code = """
import sys, pathlib
sys.path.insert(0, {project!r})
from modules.app import build_app
from modules.settings import Settings
app = build_app(Settings(data_dir=pathlib.Path({folder!r})))
heavy = {{"torch", "diffusers", "transformers", "cv2"}} & set(sys.modules)
app.close()
print("heavy:", sorted(heavy))
"""
    done = subprocess.run(
        [sys.executable, "-c", code.format(project=str(PROJECT), folder=str(tmp_path))],
        capture_output=True, text=True, timeout=110, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert "heavy: []" in done.stdout, done.stderr[-2000:]
