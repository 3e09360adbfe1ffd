"""Prompt, negative prompt, and the two buttons beside them."""

from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from modules.ui.bridge import bare
from modules.ui.fields import FIRST, Tab
from modules.ui.i18n import t


@dataclass(frozen=True)
class Words:
    """What `build` has laid out."""

    fields: dict[str, Component]
    generate: gr.Button
    stop: gr.Button


def build(tab: Tab) -> Words:
    """The box on top of a tab; a counter of tokens stands beside each prompt."""
    with gr.Row(elem_id=tab.id("ask")):
        with gr.Column(elem_id=tab.id("words")):
            fields: dict[str, Component] = {
                "prompt": gr.Textbox(
                    label=t("prompt"),
                    placeholder=t("prompt.hint"),
                    lines=2,
                    max_lines=8,
                    autofocus=tab.name == FIRST,
                    elem_id=tab.id("prompt"),
                    elem_classes="nz-prose",
                ),
                "negative_prompt": gr.Textbox(
                    label=t("negative"),
                    placeholder=t("negative.hint"),
                    lines=1,
                    max_lines=4,
                    elem_id=tab.id("negative"),
                    elem_classes="nz-prose",
                ),
            }
        with gr.Column(elem_id=tab.id("act")):
            generate = gr.Button(t("generate"), variant="primary", elem_id=tab.id("generate"))
            stop = gr.Button(t("stop"), variant="stop", elem_id=tab.id("stop"))
    bare(f'<div id="{tab.id("notice")}" role="alert"></div>')
    return Words(fields, generate, stop)
