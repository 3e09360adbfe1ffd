"""What scripts of panels are given is what the guide promises, in both languages."""

import re
from pathlib import Path

import pytest

from modules.ui.document import SCRIPTS

PROJECT = Path(__file__).resolve().parents[2]


def offered() -> list[str]:
    script = (PROJECT / "modules" / "ui" / "panel.js").read_text(encoding="utf-8")
    names = re.search(r"return \{ ([\w, ]+) \};\n\};\n$", script)
    assert names
    return names[1].split(", ")


@pytest.mark.parametrize("guide", ["extensions.md", "extensions.zh-CN.md"])
def test_the_guide_names_all_of_it_and_no_more(guide: str):
    text = (PROJECT / "docs" / guide).read_text(encoding="utf-8")
    part = text.partition("window.noisette.panel(props.words)")[2].partition("```")[0]
    rows = re.findall(r"^\| `(\w+)", part, re.M)
    assert sorted(rows) == sorted(offered())


def test_it_is_there_before_any_panel_is():
    assert SCRIPTS.index("script.js") < SCRIPTS.index("panel.js")


def test_the_extensions_that_come_along_use_it():
    """None carries a copy of its own."""
    scripts = list((PROJECT / "extensions").glob("*/*.js"))
    assert scripts
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert "window.noisette.panel(props.words)" in text, script
        assert "function el(" not in text, script
