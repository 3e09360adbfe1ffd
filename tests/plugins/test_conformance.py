"""The check finds what is wrong, and the skeleton holds everything."""

import subprocess
import sys
from pathlib import Path

import pytest

from modules.errors import ExtensionError
from modules.plugins.conformance import check
from modules.plugins.skeleton import write_skeleton

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def glow(tmp_path: Path) -> Path:
    return write_skeleton(tmp_path, "glow")


def bad(path: Path) -> dict[str, str]:
    return {finding.check: finding.why for finding in check(path) if not finding.good}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_skeleton_holds_and_its_tests_pass(glow: Path) -> None:
    assert bad(glow) == {}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(glow)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert "3 passed" in done.stdout, done.stdout[-3000:]


@pytest.mark.parametrize("name", ["Glow", "1", "a-b", "../up", "", "a b"])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExtensionError, match="cannot be an extension's name"):
        write_skeleton(tmp_path, name)


def test_nothing_is_overwritten(glow: Path) -> None:
    with pytest.raises(ExtensionError, match="exists already"):
        write_skeleton(glow.parent, "glow")


def test_a_manifest_that_cannot_be_read(glow: Path) -> None:
    change(glow / "extension.toml", "name =", "nome =")
    assert "nome" in bad(glow)["manifest"] or "name" in bad(glow)["manifest"]


def test_an_import_that_fails(glow: Path) -> None:
    change(glow / "plugin.py", "from pydantic import Field", "from pydantic import Feild as Field")
    assert "Feild" in bad(glow)["loads"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_fault_is_found(glow: Path) -> None:
    change(
        glow / "plugin.py",
        "from pydantic import Field\n",
        "import os\nimport json\nimport fastapi\nfrom pydantic import Field\n"
        "os.environ['GLOW'] = '1'\njson.glow = 1\n",
    )
    change(glow / "plugin.py", '"title_zh": "强度", ', "")
    change(
        glow / "adapter.py",
        "    def after_guidance",
        "    def before_model(self, step: Step) -> None:\n"
        "        step.parts.unet.conv_in.weight.data[0, 0, 0, 0] += 1e-3\n\n    def after_guidance",
    )
    found = bad(glow)
    assert "loads" not in found, found["loads"]
    assert found.keys() == {
        "light", "globals", "words", "leaves_no_trace", "repeats", "survives_cancel",
    }  # fmt: skip
    assert "fastapi" in found["light"]
    assert "os.environ" in found["globals"] and "json" in found["globals"]
    assert "unet" in found["leaves_no_trace"]
