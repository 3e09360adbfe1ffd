"""The tab: files in, enlarged pictures out; `upscale.js` draws it. What it queues are jobs as any others."""

import json
from pathlib import Path
from typing import Any

import gradio as gr

from modules.plugins import Host

from .desk import functions
from .words import WORDS

_HERE = Path(__file__).parent


def build_tab(t: Any, host: Host) -> None:
    """Lay the tab out."""
    gr.HTML(
        html_template='<div class="upscale-tab"></div>',
        css_template=(_HERE / "upscale.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "upscale.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        server_functions=functions(host),
        words=json.dumps(WORDS),
    )
