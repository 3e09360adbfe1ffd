"""A broken extension is a line on the page; during a job it fails the job by name."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from modules.errors import Cancelled, ExtensionError, UnknownNameError, UserError
from modules.plugins.manager import ACTIVE, DISABLED, FAILED, Plugins
from modules.schema import Finished, GenerationRequest

MANIFEST = """
name = "{name}"
title = "{name}"
version = "1.0.0"
noisette = ">=0.1"
plugin = "plugin:Extension"
"""

ECHO = """
from modules.plugins import Options, Panel, hookimpl

class EchoOptions(Options):
    loudness: int = 3

class Finisher:
    order = 5
    def __init__(self, loudness):
        self.loudness = loudness
    def finish(self, image, request, index):
        return image + "!" * self.loudness

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
    "panel_without_options": (
        "from modules.plugins import hookimpl, Panel\n"
        "class Extension:\n    @hookimpl\n    def register_panels(self):\n"
        "        return [Panel(tab='txt2img', title='x')]"
    ),
}


def write(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "extension.toml").write_text(MANIFEST.format(name=name), encoding="utf-8")
    (folder / name / "plugin.py").write_text(code, encoding="utf-8")


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
    assert finisher.finish("hi", request, 0) == "hi!!"  # type: ignore[arg-type]


def test_an_error_in_a_finisher_fails_the_job_by_name(folder: Path) -> None:
    write(folder, "broken", ECHO.replace('return image + "!" * self.loudness', "raise KeyError(1)"))
    plugins = Plugins.load(folder)
    request = plugins.check(GenerationRequest(extras={"broken": {"enabled": True}}))
    (finisher,) = plugins.finishers_for(request)
    with pytest.raises(ExtensionError, match=r"extension broken failed: KeyError: 1"):
        finisher.finish("hi", request, 0)  # type: ignore[arg-type]
    plugins.close()


def test_an_error_in_on_event_stops_nobody(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder, "broken", ECHO.replace("self.heard.append(event)", "raise KeyError(1)"))
    plugins = Plugins.load(folder)
    plugins.publish(Finished(job_id=1))
    assert "broken failed in on_event" in caplog.text
    plugins.close()


class Part:
    """An adapter whose parts can be made to raise."""

    name = "inner"
    order = 0

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def applied(self, parts: object) -> AbstractContextManager[None]:
        return nullcontext()

    def before_model(self, step: object) -> None:
        if self.error:
            raise self.error

    after_guidance = after_step = before_model


@pytest.mark.parametrize("method", ["before_model", "after_guidance", "after_step"])
def test_an_error_in_an_adapter_names_the_extension(method: str) -> None:
    from modules.plugins.named import NamedAdapter

    adapter = NamedAdapter("echo", Part(ValueError("bad")))  # type: ignore[arg-type]
    with pytest.raises(ExtensionError, match="extension echo failed: ValueError: bad"):
        getattr(adapter, method)(None)


def test_cancelling_is_nobodys_error() -> None:
    from modules.plugins.named import NamedAdapter

    adapter = NamedAdapter("echo", Part(Cancelled()))  # type: ignore[arg-type]
    with pytest.raises(Cancelled):
        adapter.before_model(None)  # type: ignore[arg-type]


def test_an_error_of_the_generation_is_not_blamed_on_an_adapter() -> None:
    from modules.plugins.named import NamedAdapter

    adapter = NamedAdapter("echo", Part())  # type: ignore[arg-type]
    with pytest.raises(MemoryError), adapter.applied(None):  # type: ignore[arg-type]
        raise MemoryError


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
