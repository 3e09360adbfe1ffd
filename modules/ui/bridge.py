"""The wire between a tab's Gradio components and `script.js`: one per tab, or two answers at once would lose one.

Python answers go out as the bridge's value and reach `noisette.answer`; what the script wants of Python (fill the
controls from a picture) comes in as a `select` event with data.
"""

import time
from typing import Any

import gradio as gr

from modules.errors import UserError
from modules.texts import LANGUAGES

_ON_LOAD = """
const told = () => window.noisette.answer(props.value);
watch('value', told);
window.noisette.attach("{tab}", (data) => trigger('select', data));
"""


def make_bridge(tab: str) -> gr.HTML:
    """The invisible component; its events and value are described above."""
    return gr.HTML(
        value={},
        html_template="",
        js_on_load=_ON_LOAD.replace("{tab}", tab),
        visible="hidden",
        elem_id=f"nz-bridge-{tab}",
    )


def bare(markup: str, elem_id: str | None = None) -> gr.HTML:
    """A place for `script.js`, without the styles that Gradio gives to HTML."""
    return gr.HTML(
        markup,
        apply_default_css=False,
        js_on_load=None,
        elem_id=elem_id,
        elem_classes="nz-bare",
    )


def heading(key: str) -> gr.HTML:
    """The title of a section inside a panel."""
    return bare(f'<h3 class="nz-section" data-t="{key}"></h3>')


def answer(kind: str, **data: Any) -> dict[str, Any]:
    """A message to the script; `at` makes two equal ones differ, or the second would not be seen."""
    return {"kind": kind, "at": time.time_ns(), **data}


def refusal(error: UserError) -> dict[str, Any]:
    """An error that the user may read, in every language: the page shows it in the visitor's."""
    return answer("error", text={language: error.message(language) for language in LANGUAGES})
