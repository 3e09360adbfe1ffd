"""The panel: a hidden component that holds the units, and one that shows them (`controlnet.js` draws it)."""

import json
import secrets
from pathlib import Path

import gradio as gr
from gradio.components import Component

from modules.plugins import Host, Options

from .desk import functions
from .words import WORDS

_HERE = Path(__file__).parent
_STORE = """
element.dataset.controlStore = props.uid;
element.controlStore = {
  get: () => props.value,
  set: (units) => { props.value = units; trigger('change'); },
};
watch('value', () => element.dispatchEvent(new CustomEvent('control-units')));
"""


def build(options: type[Options], host: Host) -> dict[str, Component]:
    """Lay the panel out inside its accordion."""
    uid = secrets.token_hex(4)
    store = gr.HTML(value=[], html_template="", js_on_load=_STORE, visible="hidden", uid=uid)
    gr.HTML(
        html_template='<div class="control-units"></div>',
        css_template=(_HERE / "controlnet.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "controlnet.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        server_functions=functions(host),
        uid=uid,
        words=json.dumps(WORDS),
    )
    return {"units": store}
