"""What one visitor typed, kept in the browser and (`draft.js`) on the server, so that F5, a crash or a restart of the program loses no word."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from modules.ui.bridge import bare
from modules.ui.fields import Choices, Tab

_SECRET = "noisette"  # a draft is no secret; a fixed key lets it survive a restart


def make_draft(tab: Tab) -> gr.BrowserState:
    """The place in the browser where a tab's draft lies."""
    return gr.BrowserState({}, storage_key=f"noisette-draft-{tab.name}", secret=_SECRET)


def build_clear(tab: Tab) -> None:
    """The place of the button that forgets it, here and there; `draft.js` draws it."""
    bare(f'<div id="{tab.id("clear")}" class="nz-clear"></div>')


def sound(
    draft: object,
    fields: Mapping[str, Component],
    offered: Mapping[str, Choices | None] = MappingProxyType({}),
) -> dict[str, Any]:
    """What of a draft can still be shown: an old version or another program may have written it.

    Args:
        offered: what lists offer now, where that is not what they were built with.
    """
    if not isinstance(draft, Mapping):
        return {}
    good: dict[str, Any] = {}
    for name, value in draft.items():
        field = fields.get(name)
        if field is not None and value is not None and _fits(field, value, offered.get(name)):
            good[name] = value
    return good


def _fits(field: Component, value: object, offered: Choices | None) -> bool:
    if offered is not None:
        return value in [choice[1] for choice in offered]
    match field:
        case gr.Dropdown() | gr.Radio():
            return value in [choice[1] for choice in field.choices]
        case gr.Slider():
            return _is_number(value) and field.minimum <= value <= field.maximum
        case gr.Number():
            return _is_number(value)
        case gr.Checkbox():
            return isinstance(value, bool)
        case gr.Textbox():
            return isinstance(value, str)
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
