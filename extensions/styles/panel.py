"""The chips on the generation tabs and the tab of all presets: one component with two faces, `styles.js`.

The panel's value is kept in a component of its own: Gradio draws a component anew whenever its value changes, which
would take the focus away from whoever is typing in it.
"""

import json
import secrets
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from modules.plugins import Host, Options

from .desk import functions
from .plugin import presets_of
from .words import WORDS

_HERE = Path(__file__).parent
_STORE = """
element.dataset.stylesStore = props.uid;
element.stylesStore = {
  get: () => props.value,
  set: (names) => { props.value = names; trigger('change'); },
};
watch('value', () => element.dispatchEvent(new CustomEvent('styles-names')));
"""


def build(options: type[Options], host: Host) -> dict[str, Component]:
    """Lay the chips out inside their accordion."""
    uid = secrets.token_hex(4)
    store = gr.HTML(value="", html_template="", js_on_load=_STORE, visible="hidden", uid=uid)
    _face(host, "chips", uid)
    return {"names": store}


def build_tab(t: Any, host: Host) -> None:
    """Lay the tab out."""
    _face(host, "tab", secrets.token_hex(4))


def _face(host: Host, face: str, uid: str) -> None:
    gr.HTML(
        html_template=f'<div class="styles-{face}"></div>',
        css_template=(_HERE / "styles.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "styles.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        server_functions=functions(presets_of(host)),
        uid=uid,
        face=face,
        words=json.dumps(WORDS),
    )
