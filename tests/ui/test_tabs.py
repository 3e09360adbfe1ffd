"""An extension's own tab: its words in both languages, its functions guarded, a broken one gone without a trace."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from modules.plugins.manager import FAILED, Plugins
from modules.ui import tabs
from modules.ui.tabs import build_tabs
from tests.plugins.write import write

PLUGIN = """
from modules.plugins import Tab, hookimpl
class Extension:
    @hookimpl
    def register_tabs(self):
        return [Tab("Count", "计数", build="tab:build")]
"""
TAB = """
import time
import gradio as gr
from modules.plugins import problem
def build(t):
    words = gr.Textbox(label=t("Words", "文字"))
    found = gr.Number()
    gr.Button("Count").click(count, words, found, api_name="count", queue=False)
def count(words):
    if words == "hang":
        time.sleep(1000)
    if words == "own":
        raise problem("Type something.", "请输入。")
    return len(words.split())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "counter", PLUGIN, tab=TAB)
    return tmp_path


@pytest.fixture
def plugins(folder: Path) -> Iterator[Plugins]:
    loaded = Plugins.load(folder)
    yield loaded
    loaded.close()


def built(plugins: Plugins) -> tuple[gr.Blocks, dict[str, dict[str, str]]]:
    with gr.Blocks() as page, gr.Tabs():
        tabs = build_tabs(plugins, page)
    return page, tabs.texts


def test_its_words_and_its_function(plugins: Plugins) -> None:
    page, texts = built(plugins)
    assert set(texts["zh"].values()) == {"计数", "文字"}
    assert texts["en"].keys() == texts["zh"].keys()
    (function,) = page.fns.values()
    assert function.api_name == "counter_count"
    assert function.fn is not None and function.fn("two words") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (None, "counter failed: AttributeError"),
        ("own", "Type something. / "),
        ("own", "请输入。"),
        ("hang", "counter did not come back from count"),
    ],
)
def test_what_goes_wrong_is_shown_by_name(
    plugins: Plugins, words: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabs, "CALL_SECONDS", 0.5)
    (function,) = built(plugins)[0].fns.values()
    assert function.fn is not None
    with pytest.raises(gr.Error) as caught:
        function.fn(words)
    assert said in str(caught.value)


def test_off_means_off(plugins: Plugins) -> None:
    (function,) = built(plugins)[0].fns.values()
    plugins.disable("counter")
    assert function.fn is not None
    with pytest.raises(gr.Error, match="counter is off"):
        function.fn("x")


@pytest.mark.parametrize(
    "code",
    [
        "import nowhere",
        "build = 5",
        TAB.replace("    found = gr.Number()\n", "    raise KeyError('x')\n"),
        TAB + "\nold = build\ndef build(t):\n    old(t)\n    raise KeyError('late')\n",
    ],
)
def test_a_broken_one_leaves_a_line_and_no_trace(plugins: Plugins, folder: Path, code: str) -> None:
    write(folder, "bad", PLUGIN, tab=code)
    plugins.refresh()
    page, _ = built(plugins)
    report = {report.name: report for report in plugins.reports}["bad"]
    assert report.state == FAILED
    assert [function.api_name for function in page.fns.values()] == ["counter_count"]
    shown = [each["props"].get("elem_id") for each in page.get_config_file()["components"]]
    assert "nz-tab-counter" in shown and "nz-tab-bad" not in shown
