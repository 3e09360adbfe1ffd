"""A broken extension is a line on the page; during a job it fails the job by name."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from modules.errors import ExtensionError, UnknownNameError, UserError
from modules.plugins.manager import ACTIVE, DISABLED, FAILED, Plugins
from modules.schema import Finished, GenerationRequest
from tests.plugins.write import write

PICTURE = Image.new("RGB", (8, 8), "red")
ECHO = """
from modules.plugins import Options, Panel, hookimpl

class EchoOptions(Options):
    loudness: int = 3

class Finisher:
    order = 5
    def __init__(self, loudness):
        self.loudness = loudness
    def finish(self, image, request, index):
        return image.resize((image.width + self.loudness, image.height))

class Extension:
    heard = []
    @hookimpl
    def register_options(self):
        return EchoOptions
    @hookimpl
    def register_panels(self):
        return [Panel(tab="txt2img", title="Echo")]
    @hookimpl
    def register_finishers(self, options):
        return [Finisher(options.loudness)]
    @hookimpl
    def on_event(self, event):
        self.heard.append(event)
"""

BROKEN = {
    "raises_at_import": "raise RuntimeError('no good')",
    "syntax_error": "def :",
    "no_class": "x = 1",
    "class_is_no_class": "Extension = 3",
    "constructor_raises": "class Extension:\n    def __init__(self):\n        raise ValueError('no')",
    "unknown_argument": (
        "from modules.plugins import hookimpl\n"
        "class Extension:\n    @hookimpl\n    def on_event(self, nonsense): ..."
    ),
    "unknown_hook": (
        "from modules.plugins import hookimpl\n"
        "class Extension:\n    @hookimpl\n    def on_everything(self): ..."
    ),
    "options_of_another_kind": (
        "from modules.plugins import hookimpl\n"
        "class Extension:\n    @hookimpl\n    def register_options(self):\n        return dict"
    ),
    "option_without_default": (
        "from modules.plugins import hookimpl, Options\n"
        "class O(Options):\n    needed: int\n"
        "class Extension:\n    @hookimpl\n    def register_options(self):\n        return O"
    ),
    "exits": "import sys\nsys.exit(3)",
    "tabs_of_another_kind": (
        "from modules.plugins import hookimpl\n"
        "class Extension:\n    @hookimpl\n    def register_tabs(self):\n        return ['tab']"
    ),
    "sampler_that_exists": (
        "from modules.plugins import Sampler, hookimpl\n"
        "from modules.diffusion.samplers import SAMPLERS\n"
        "class Extension:\n    @hookimpl\n    def register_samplers(self):\n        return [SAMPLERS[0]]"
    ),
    "axis_under_a_foreign_name": (
        "from modules.plugins import Axis, hookimpl\n"
        "class Extension:\n    @hookimpl\n    def register_axes(self):\n"
        "        return [Axis('echo.x', 'X', 'int', lambda request, value: request)]"
    ),
    "work_without_options": (
        "from modules.plugins import hookimpl\n"
        "class Extension:\n    @hookimpl\n    def prepare_generation(self):\n        return None"
    ),
    "panel_without_options": (
        "from modules.plugins import hookimpl, Panel\n"
        "class Extension:\n    @hookimpl\n    def register_panels(self):\n"
        "        return [Panel(tab='txt2img', title='x')]"
    ),
    "receipt_in_one_language": (
        "from modules.plugins import hookimpl, Options, Panel\n"
        "class Extension:\n    @hookimpl\n    def register_options(self):\n        return Options\n"
        "    @hookimpl\n    def register_panels(self):\n"
        "        return [Panel('txt2img', 'x', receipt={'applied': 'Applied'})]"
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "echo", ECHO)
    return tmp_path


@pytest.fixture
def plugins(folder: Path) -> Iterator[Plugins]:
    loaded = Plugins.load(folder)
    yield loaded
    loaded.close()


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_a_broken_extension_is_a_line_and_the_rest_start(fault: str, folder: Path) -> None:
    write(folder, "broken", BROKEN[fault])
    plugins = Plugins.load(folder)
    broken, echo = plugins.reports
    assert (broken.name, broken.state) == ("broken", FAILED)
    assert broken.reason is not None and "broken" in str(broken.reason)
    assert echo.state == ACTIVE
    assert [panel.extension for panel in plugins.panels("txt2img")] == ["echo"]
    plugins.close()


def test_a_folder_that_is_no_extension_has_a_line_too(folder: Path) -> None:
    (folder / "for_another_program").mkdir()
    plugins = Plugins.load(folder)
    assert [report.name for report in plugins.reports] == ["echo", "for_another_program"]
    assert "no extension.toml" in str(plugins.reports[1].reason)
    plugins.close()


def test_safe_mode_starts_without_any(folder: Path) -> None:
    plugins = Plugins.load(folder, safe_mode=True)
    assert [report.state for report in plugins.reports] == [DISABLED]
    assert plugins.panels("txt2img") == ()


def test_closing_undoes_every_import(folder: Path) -> None:
    before = set(sys.modules)
    plugins = Plugins.load(folder)
    assert set(sys.modules) != before
    plugins.close()
    assert set(sys.modules) == before


def test_options_are_checked_and_completed(plugins: Plugins) -> None:
    request = GenerationRequest(extras={"echo": {"enabled": True}})
    assert plugins.check(request).extras == {"echo": {"enabled": True, "loudness": 3}}


def test_options_that_are_off_leave_no_trace(plugins: Plugins) -> None:
    request = GenerationRequest(extras={"echo": {"enabled": False, "loudness": 9}})
    assert plugins.check(request).extras == {}


def test_a_wrong_option_is_named(plugins: Plugins) -> None:
    with pytest.raises(UserError, match=r"echo: loudness is 'loud'"):
        plugins.check(GenerationRequest(extras={"echo": {"enabled": True, "loudness": "loud"}}))


def test_an_unknown_extension_is_refused_with_those_that_exist(plugins: Plugins) -> None:
    with pytest.raises(UnknownNameError, match=r"ohce.*Active ones: echo"):
        plugins.check(GenerationRequest(extras={"ohce": {}}))


def test_finishers_run_only_when_enabled(plugins: Plugins) -> None:
    assert plugins.finishers_for(GenerationRequest()) == []
    request = plugins.check(GenerationRequest(extras={"echo": {"enabled": True, "loudness": 2}}))
    (finisher,) = plugins.finishers_for(request)
    assert finisher.finish(PICTURE, request, 0).size == (10, 8)


def test_an_error_in_a_finisher_fails_the_job_by_name(folder: Path) -> None:
    write(folder, "broken", ECHO.replace("return image.resize", "raise KeyError(1)  #"))
    plugins = Plugins.load(folder)
    request = plugins.check(GenerationRequest(extras={"broken": {"enabled": True}}))
    (finisher,) = plugins.finishers_for(request)
    with pytest.raises(ExtensionError, match=r"extension broken failed: KeyError: 1"):
        finisher.finish(PICTURE, request, 0)
    plugins.close()


def test_an_error_in_on_event_stops_nobody(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder, "broken", ECHO.replace("self.heard.append(event)", "raise KeyError(1)"))
    plugins = Plugins.load(folder)
    plugins.publish(Finished(job_id=1))
    assert "broken failed in on_event" in caplog.text
    plugins.close()


def test_the_page_part_of_the_door_imports_no_torch_and_no_gradio() -> None:
    code = (
        "import sys, pathlib; from modules.plugins.manager import Plugins;"
        "p = Plugins.load(pathlib.Path('extensions'));"
        "assert p.reports and all(r.state == 'active' for r in p.reports), p.reports;"
        "print([m for m in ('torch', 'gradio', 'diffusers') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


WRITER = """
from modules.plugins import Options, hookimpl, problem

class WriterOptions(Options):
    words: str = ""

class Extension:
    @hookimpl
    def register_options(self):
        return WriterOptions
    @hookimpl
    def rewrite_prompts(self, request, options, index):
        if options.words == "raise":
            raise KeyError("no")
        if options.words == "say":
            raise problem("No such word.", "没有此词。")
        if options.words == "wrong":
            return request.prompt
        if not options.words:
            return None
        request.extras.clear()  # its own copy
        return f"{request.prompt} {options.words}{request.seed_of(index)}", f"not {request.negative_prompt}"
"""


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Plugins]:
    for name in ("first", "second"):
        write(tmp_path, name, WRITER)
    write(tmp_path, "echo", ECHO)
    plugins = Plugins.load(tmp_path)
    yield plugins
    plugins.close()


def wanted(words: dict[str, str], **fields: object) -> GenerationRequest:
    extras = {name: {"enabled": True, "words": each} for name, each in words.items()}
    return GenerationRequest(prompt="a cat", seed=5, extras=extras, **fields)


def test_prompts_are_written_one_after_the_other(writers: Plugins):
    request = writers.check(wanted({"first": "A", "second": "B"}, negative_prompt="ugly"))
    written = writers.rewritten(request, 2)
    assert written.prompt == "a cat A7 B7"
    assert written.negative_prompt == "not not ugly"
    assert written.extras == {}
    assert writers.rewritten(written, 2) is written
    assert request.extras.keys() == {"first", "second"}


def test_who_does_not_write_stays_in_the_request(writers: Plugins):
    request = writers.check(
        GenerationRequest(
            prompt="x",
            seed=1,
            extras={"first": {"enabled": True}, "echo": {"enabled": True, "loudness": 4}},
        )
    )
    assert writers.rewritten(request, 0) is request


def test_an_error_in_the_words_is_told_and_not_counted(writers: Plugins):
    with pytest.raises(UserError, match=r"No such word\.") as caught:
        writers.rewritten(writers.check(wanted({"first": "say"})), 0)
    assert not isinstance(caught.value, ExtensionError)


@pytest.mark.parametrize("words", ["raise", "wrong"])
def test_a_failure_of_the_writer_names_it(writers: Plugins, words: str):
    with pytest.raises(ExtensionError, match="second"):
        writers.rewritten(writers.check(wanted({"second": words})), 0)
