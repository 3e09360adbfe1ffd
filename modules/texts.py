"""The catalogue: every text that a person reads, in English and Chinese, under one key.

`modules/locales/<language>/<room>.json` are flat maps from key to text with `{named}` fields. The page hands
them to `gr.I18n`, errors and the command line format them here.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "zh")
LOCALES = Path(__file__).parent / "locales"


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """All texts of a language; a language that we do not have reads as English."""
    name = language if language in LANGUAGES else LANGUAGES[0]
    texts: dict[str, str] = {}
    for file in sorted((LOCALES / name).glob("*.json")):
        part: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        doubled = texts.keys() & part.keys()
        if doubled:
            raise ValueError(f"{file} repeats the keys {sorted(doubled)}")
        texts.update(part)
    return texts


def translate(key: str, language: str = "en", **values: object) -> str:
    """The text of `key` with its fields filled in; a key that is not in the catalogue is the text itself."""
    text = catalogue(language).get(key) or catalogue("en").get(key)
    return key if text is None else text.format(**values)
