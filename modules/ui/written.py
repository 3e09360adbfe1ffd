"""The button by which people see what extensions make of their prompts, before they run it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.errors import UserError
from modules.ui.bind import to_request
from modules.ui.bridge import answer, bare, refusal
from modules.ui.fields import Tab
from modules.ui.i18n import t
from modules.ui.visitor import Visitors

if TYPE_CHECKING:
    from modules.services.front import Studio

MOST = 4
"""Pictures whose prompts are shown."""


@dataclass(frozen=True)
class WrittenButton:
    """The button in the panel of an extension that writes prompts."""

    extension: str
    button: gr.Button


def build(tab: Tab, extension: str) -> WrittenButton:
    """The button, inside the panel, and below it the place that `written.js` fills."""
    button = gr.Button(t("written"), size="sm", elem_id=tab.id(f"written-{extension}-show"))
    bare(f'<section id="{tab.id(f"written-{extension}")}" class="nz-written"></section>')
    return WrittenButton(extension, button)


def click(studio: "Studio", row: WrittenButton) -> Callable[..., dict[str, Any]]:
    """What the button does; nothing is queued."""

    def shown(request: gr.Request, **values: Any) -> dict[str, Any]:
        try:
            asked = to_request(values)
            words = studio.words(asked, Visitors.client(request), MOST)
        except UserError as error:
            return refusal(error)
        prompts = [{"prompt": prompt, "negative": negative} for prompt, negative in words]
        return answer("written", extension=row.extension, drawn=asked.seed < 0, prompts=prompts)

    return shown
