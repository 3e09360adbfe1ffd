"""Texts of the page: one catalogue, handed to Gradio's own translation and to our script.

Gradio translates in the browser, by `navigator.language`. `script.js` answers there with the language that the
visitor chose, so that Gradio's texts and ours always agree.
"""

from collections.abc import Iterable, Mapping

import gradio as gr
from gradio.i18n import I18nData

from modules.plugins.manager import MountedPanel
from modules.texts import LANGUAGES, catalogue

PREFIX = "ui."
GRADIO_LOCALES = {"en": "en", "zh": "zh-CN"}
"""Our languages by the name under which Gradio keeps its own texts ("Clear", "Error" ...)."""


def t(key: str) -> I18nData:
    """The text of `ui.<key>`, put in by the browser in the visitor's language."""
    return I18nData(flat(PREFIX + key))


def panel_key(extension: str, *parts: str) -> str:
    """The catalogue key of an extension's title or option."""
    return ".".join(("ui.extension", extension, *parts))


def tab_key(extension: str, *parts: str) -> str:
    """The catalogue key of a text on an extension's own tab."""
    return ".".join(("ui.tab_of", extension, *parts))


def panel_text(extension: str, *parts: str) -> I18nData:
    """A text that an extension brought along, put in by the browser."""
    return I18nData(flat(panel_key(extension, *parts)))


def page_texts(language: str, panels: Iterable[MountedPanel] = ()) -> dict[str, str]:
    """Every text of the page in one language, those of the panels included."""
    texts = {key: text for key, text in catalogue(language).items() if key.startswith(PREFIX)}
    for panel in panels:
        texts.update(_panel_texts(panel, language))
    return texts


def gradio_translations(
    panels: Iterable[MountedPanel] = (), more: Mapping[str, Mapping[str, str]] | None = None
) -> gr.I18n:
    """The same texts in the shape that Gradio takes; `more` are further ones, by language and key."""
    mounted = tuple(panels)
    others = more or {}
    return gr.I18n(
        **{
            GRADIO_LOCALES[language]: {
                flat(key): text
                for key, text in (
                    *page_texts(language, mounted).items(),
                    *others.get(language, {}).items(),
                )
            }
            for language in LANGUAGES
        }
    )


def flat(key: str) -> str:
    """A key as Gradio takes it."""
    # Gradio's translation reads a dot as a step into a nested map.
    return key.replace(".", "_")


def _panel_texts(mounted: MountedPanel, language: str) -> dict[str, str]:
    panel, name = mounted.panel, mounted.extension
    chinese = language == "zh"
    texts = {panel_key(name): (panel.title_zh if chinese else "") or panel.title}
    for action in panel.actions:
        title = (action.title_zh if chinese else "") or action.title
        texts[panel_key(name, "action", action.name)] = title
    for word, said in panel.receipt.items():
        texts[panel_key(name, "receipt", word)] = said[1 if chinese else 0]
    for field, info in mounted.options.model_fields.items():
        extra: Mapping[str, object] = (
            info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        )
        title = info.title or field.replace("_", " ").capitalize()
        hint = info.description or ""
        texts[panel_key(name, field)] = str((chinese and extra.get("title_zh")) or title)
        texts[panel_key(name, field, "hint")] = str(
            (chinese and extra.get("description_zh")) or hint
        )
    return texts
