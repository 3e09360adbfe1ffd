"""The catalogue is complete: each text in both languages, with the same fields."""

import string

from modules.texts import LANGUAGES, catalogue, translate


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys() -> None:
    assert catalogue("en").keys() == catalogue("zh").keys()


def test_both_languages_fill_in_the_same_fields() -> None:
    english, chinese = catalogue("en"), catalogue("zh")
    different = [key for key in english if fields(english[key]) != fields(chinese[key])]
    assert different == []


def test_no_text_is_empty() -> None:
    for language in LANGUAGES:
        assert [key for key, text in catalogue(language).items() if not text.strip()] == []


def test_chinese_texts_are_chinese() -> None:
    latin = [
        key
        for key, text in catalogue("zh").items()
        if text == catalogue("en")[key] and len(text.split()) > 2
    ]
    assert latin == []


def test_an_unknown_language_reads_as_english() -> None:
    assert translate("extension.off.settings", "tlh") == translate("extension.off.settings", "en")
