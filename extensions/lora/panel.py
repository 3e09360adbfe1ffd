"""The mixer on the page: a hidden component that holds the rows, and one that shows them.

They are two since Gradio draws a component anew whenever its value changes, which would take the focus away from
whoever is typing in it. `mixer.js` is everything that moves; it asks `desk` for what needs Python.
"""

import json
import secrets
from pathlib import Path

import gradio as gr
from gradio.components import Component

from modules.plugins import Host, Options

from .blends import Blends
from .curve import PRESETS
from .desk import functions
from .places import blends_folder
from .shelf import Shelf
from .words import WORDS

_HERE = Path(__file__).parent
_STORE = """
element.dataset.loraStore = props.uid;
element.loraStore = {
  get: () => props.value,
  set: (rows) => { props.value = rows; trigger('change'); },
};
watch('value', () => element.dispatchEvent(new CustomEvent('lora-rows')));
"""


def build(options: type[Options], host: Host) -> dict[str, Component]:
    """Lay the mixer out inside its accordion."""
    uid = secrets.token_hex(4)
    store = gr.HTML(value=[], html_template="", js_on_load=_STORE, visible="hidden", uid=uid)
    gr.HTML(
        html_template='<div class="lora-mixer"></div>',
        css_template=(_HERE / "mixer.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "mixer.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        server_functions=functions(Shelf.of(host), Blends(blends_folder(host))),
        uid=uid,
        words=json.dumps(WORDS),
        curves=json.dumps(PRESETS),
    )
    return {"rows": store}
