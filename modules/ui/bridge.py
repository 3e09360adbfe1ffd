"""The one wire between Gradio's components and `script.js`.

Python answers go out as the bridge's value and reach `noisette.answer`; what the script wants of Python (fill the
controls from a picture) comes in as a `select` event with data.
"""

import time
from typing import Any

import gradio as gr

from modules.errors import UserError
from modules.texts import LANGUAGES, translate

_ON_LOAD = """
const told = () => window.noisette.answer(props.value);
watch('value', told);
window.noisette.attach((data) => trigger('select', data));
"""


_NAMES = {
    "prompt": "ui.prompt",
    "negative_prompt": "ui.negative",
    "model": "ui.model",
    "width": "ui.width",
    "height": "ui.height",
    "steps": "ui.steps",
    "cfg_scale": "ui.cfg",
    "seed": "ui.seed",
    "sampler": "ui.sampler",
    "schedule": "ui.schedule",
    "batch_size": "ui.batch_size",
    "batch_count": "ui.batch_count",
    "clip_skip": "ui.clip_skip",
}


def make_bridge() -> gr.HTML:
    """The invisible component; its events and value are described above."""
    return gr.HTML(
        value={}, html_template="", js_on_load=_ON_LOAD, visible="hidden", elem_id="nz-bridge"
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


def answer(kind: str, **data: Any) -> dict[str, Any]:
    """A message to the script; `at` makes two equal ones differ, or the second would not be seen."""
    return {"kind": kind, "at": time.time_ns(), **data}


def refusal(error: UserError) -> dict[str, Any]:
    """An error that the user may read, in every language: the page shows it in the visitor's."""
    return answer("error", text={language: _said(error, language) for language in LANGUAGES})


def _said(error: UserError, language: str) -> str:
    """The message, with the control's own name where it names a field of the request."""
    key = _NAMES.get(str(error.values.get("field")))
    if key is None:
        return error.message(language)
    return translate(error.key, language, **{**error.values, "field": translate(key, language)})
