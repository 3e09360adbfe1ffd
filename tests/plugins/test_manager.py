"""A broken extension is a line on the page; during a job it fails the job by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from modules.plugins.manager import ACTIVE, DISABLED, FAILED, Plugins
from tests.plugins.write import ECHO, write

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
