"""Everything the page says is in the catalogue, in both languages."""

import re
import string
from pathlib import Path

import pytest

from modules.texts import LANGUAGES, catalogue

UI = Path(__file__).resolve().parents[2] / "modules" / "ui"


def used_keys() -> set[str]:
    python = "\n".join(path.read_text() for path in UI.glob("*.py"))
    script = (UI / "script.js").read_text()
    keys = set(re.findall(r'\bt\("([\w.]+)"\)', python))
    keys |= set(re.findall(r'data-(?:t|label)="([\w.]+)"', python))
    keys |= {key for key in re.findall(r'\bt\("([\w.]+)"', script) if not key.endswith(".")}
    keys |= set(re.findall(r'"nz-\w+": "([\w.]+)"', script))
    keys |= set(re.findall(r'\b_(?:slider|number)\(\s*"([\w.]+)"', python))
    keys |= {f"{key}.hint" for key in ("steps", "cfg", "batch_size", "clip_skip")}
    keys |= {f"state.{name}" for name in ("queued", "running", "done", "failed", "cancelled")}
    keys |= {f"extensions.{name}" for name in ("active", "failed", "disabled")}
    keys |= {f"theme.{name}" for name in ("system", "light", "dark")}
    keys |= {f"reused.{name}" for name in ("seed", "all")}
    keys |= {
        f"stage.{name}"
        for name in (
            "starting",
            "loading",
            "encoding",
            "denoising",
            "decoding",
            "finishing",
            "saving",
        )
    }
    return keys


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_that_the_page_uses_exists(language: str):
    missing = {key for key in used_keys() if f"ui.{key}" not in catalogue(language)}
    assert missing == set()


def test_no_text_of_the_page_is_dead():
    words = "\n".join(path.read_text() for path in [*UI.glob("*.py"), UI / "script.js"])
    used = used_keys()
    dead = [
        key
        for key in catalogue("en")
        if key.startswith("ui.") and key[3:] not in used and key[3:] not in words
    ]
    assert dead == []


def test_both_languages_have_the_same_fields():
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, text in catalogue("en").items():
        assert fields(text) == fields(catalogue("zh")[key]), key


def test_the_script_writes_no_html():
    """What users and files wrote goes in as text."""
    script = (UI / "script.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


def test_nothing_names_another_host():
    for path in UI.iterdir():
        if path.suffix in {".py", ".js", ".css", ".svg"}:
            found = re.findall(r"https?://[\w./-]+", path.read_text())
            assert [url for url in found if url != "http://www.w3.org/2000/svg"] == [], path
