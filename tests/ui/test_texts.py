"""Everything the page says is in the catalogue, in both languages."""

import re
import string
from pathlib import Path

import pytest

from modules.schema import SamplerOptions, SoftInpainting, Stage
from modules.texts import LANGUAGES, catalogue
from modules.ui import advanced, source
from modules.ui.bind import MODES
from modules.ui.fields import HINTS

UI = Path(__file__).resolve().parents[2] / "modules" / "ui"


SCRIPTS = sorted(UI.glob("*.js"))
_TAB_METHODS = r"tab\.(?:slider|number|optional|choice|named|switch|words|group)"


def used_keys() -> set[str]:
    """Keys below `ui.` that Python and the scripts name; those that are put together are listed."""
    python = "\n".join(path.read_text() for path in UI.glob("*.py"))
    script = "\n".join(path.read_text() for path in SCRIPTS)
    keys = set(re.findall(r'\bt\("([\w.]+)"\)', python))
    keys |= set(re.findall(r'data-(?:t|label)="([\w.]+)"', python))
    keys |= set(re.findall(r'heading\("([\w.]+)"\)', python))
    keys |= {key for key in re.findall(r'\bt\("([\w.]+)"', script) if not key.endswith(".")}
    keys |= set(re.findall(_TAB_METHODS + r'\(\s*"[\w-]+",\s*"([\w.]+)"', python))
    keys |= {f"{key}.hint" for key in HINTS}
    for key, names in {
        "state": ("queued", "running", "done", "failed", "cancelled"),
        "extensions": ("active", "failed", "disabled"),
        "theme": ("system", "light", "dark"),
        "reused": ("seed", "all", "text", "request"),
        "stage": ("starting", *(stage.value for stage in Stage)),
        "mode": MODES,
        "resize_mode": source.RESIZE_MODES,
        "resize_way": source.WAYS,
        "mask_mode": source.MASK_MODES,
        "content": source.CONTENTS,
        "area": source.AREAS,
        "emphasis": advanced.EMPHASIS,
        "tiling": advanced.TILING,
        "rng": advanced.RNG,
        "outpaint": ("left", "right", "up", "down"),
        "soft": SoftInpainting.model_fields,
        "sampler": SamplerOptions.model_fields,
        "editor.layer": ("sketch", "inpaint", "inpaint_sketch"),
        "tab": ("txt2img", "img2img", "pnginfo", "queue", "extensions"),
        "schedule": ("default",),
    }.items():
        keys |= {f"{key}.{name}" for name in names}
    return keys


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_that_the_page_uses_exists(language: str):
    missing = {key for key in used_keys() if f"ui.{key}" not in catalogue(language)}
    assert missing == set()


def test_no_text_of_the_page_is_dead():
    words = "\n".join(path.read_text() for path in [*UI.glob("*.py"), *SCRIPTS])
    used = used_keys()
    # Keys that a script puts together: `t("state." + job.state)`.
    made = tuple(re.findall(r'\bt\("([\w.]+\.)"', words))
    dead = [
        key
        for key in catalogue("en")
        if key.startswith("ui.")
        and key[3:] not in used
        and key[3:] not in words
        and not key[3:].startswith(made)
    ]
    assert dead == []


def test_both_languages_have_the_same_fields():
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, text in catalogue("en").items():
        assert fields(text) == fields(catalogue("zh")[key]), key


def test_the_script_writes_no_html():
    """What users and files wrote goes in as text."""
    script = "\n".join(path.read_text() for path in SCRIPTS)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


def test_nothing_names_another_host():
    for path in UI.iterdir():
        if path.suffix in {".py", ".js", ".css", ".svg"}:
            found = re.findall(r"https?://[\w./-]+", path.read_text())
            assert [url for url in found if url != "http://www.w3.org/2000/svg"] == [], path
