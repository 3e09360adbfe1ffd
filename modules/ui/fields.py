"""The kinds of control that all tabs use: one look, one way to be named, texts in the visitor's language.

`Tab` knows what an element is called in the document: `nz-prompt` on txt2img, `nz-img2img-prompt` on img2img.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gradio as gr
from gradio.i18n import I18nData

from modules.ui.i18n import t

Choices = Sequence[tuple[str | I18nData, str]]
"""What a list offers: what is shown, and what is meant."""
Texts = Mapping[str, Mapping[str, str]]
"""Texts by language and key."""

FIRST = "txt2img"
HINTS = frozenset(
    {
        "steps",
        "cfg",
        "batch_size",
        "clip_skip",
        "denoise",
        "hires.steps",
        "refiner.switch",
        "variation.strength",
        "guidance.rescale",
        "padding",
        "full_steps",
        "image_cfg",
        "batch.folder",
        "rng",
    }
)
"""Labels that have a second line to explain them (`ui.<key>.hint`)."""


@dataclass(frozen=True)
class Tab:
    """One tab's name, and what it calls its elements."""

    name: str

    def id(self, element: str) -> str:
        """The id of an element of this tab; the script asks by the same rule."""
        return f"nz-{element}" if self.name == FIRST else f"nz-{self.name}-{element}"

    def slider(
        self, element: str, key: str, least: float, most: float, value: float, step: float = 1
    ) -> gr.Slider:
        """A number between two bounds."""
        return gr.Slider(
            least,
            most,
            value=value,
            step=step,
            label=t(key),
            info=_hint(key),
            elem_id=self.id(element),
            buttons=[],
        )

    def number(self, element: str, key: str, value: float | None) -> gr.Number:
        """A number without bounds and rounding of Gradio's own: 1.5 pixels are refused, in the visitor's language."""
        return gr.Number(
            value=value, label=t(key), info=_hint(key), elem_id=self.id(element), min_width=80
        )

    def optional(self, element: str, key: str) -> gr.Textbox:
        """A number that may be left open. A text field: Gradio's number field shows 0 where nothing is."""
        return gr.Textbox(
            label=t(key),
            info=_hint(key),
            placeholder=t("open"),
            lines=1,
            max_lines=1,
            elem_id=self.id(element),
            min_width=80,
        )

    def choice(self, element: str, key: str, choices: Choices, value: str | None) -> gr.Dropdown:
        """One of several."""
        return gr.Dropdown(
            list(choices),
            value=value,
            label=t(key),
            info=_hint(key),
            elem_id=self.id(element),
        )

    def named(self, element: str, key: str, names: Sequence[str], value: str) -> gr.Dropdown:
        """One of some words of ours, each shown as the text `ui.<key>.<name>`."""
        return self.choice(element, key, [(t(f"{key}.{name}"), name) for name in names], value)

    def switch(self, element: str, key: str, value: bool = False) -> gr.Checkbox:
        """On or off."""
        return gr.Checkbox(value=value, label=t(key), info=_hint(key), elem_id=self.id(element))

    def words(self, element: str, key: str, *, lines: int = 1, most: int = 4) -> gr.Textbox:
        """Free text."""
        return gr.Textbox(
            label=t(key), info=_hint(key), lines=lines, max_lines=most, elem_id=self.id(element)
        )

    def kept(self, element: str) -> gr.Textbox:
        """A value that the script fills in and nobody sees: the number of a picture."""
        return gr.Textbox(visible="hidden", elem_id=self.id(element), label=f"({element})")

    def group(self, element: str, key: str, *, more: str = "") -> gr.Accordion:
        """A panel that is folded away."""
        return gr.Accordion(
            t(key),
            open=False,
            elem_id=self.id(element),
            elem_classes=["nz-panel", *more.split()],
        )


def _hint(key: str) -> I18nData | None:
    return t(f"{key}.hint") if key in HINTS else None
