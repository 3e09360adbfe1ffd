"""The txt2img tab: prompt, Generate and picture first, everything else in the column beside them."""

from typing import TYPE_CHECKING

import gradio as gr
from gradio.components import Component

from modules.plugins.manager import Plugins
from modules.ui import advanced, basics, hires, refiner, result, sampling, words
from modules.ui.controls import Controls
from modules.ui.draft import build_clear
from modules.ui.fields import Tab, Texts
from modules.ui.handlers import Handlers
from modules.ui.panels import build_panels, panel_names
from modules.ui.wiring import wire

if TYPE_CHECKING:
    from modules.services.front import Studio

TAB = Tab("txt2img")


def build(studio: "Studio", plugins: Plugins, bridge: gr.HTML, page: gr.Blocks) -> Texts:
    """Lay the tab out and wire it; called inside its `gr.Tab`. The words that its panels brought along."""
    controls = _lay_out(studio, plugins)
    wire(controls, Handlers(studio, TAB, controls.fields, panel_names(plugins, TAB)), bridge, page)
    return controls.texts


def _lay_out(studio: "Studio", plugins: Plugins) -> Controls:
    fields: dict[str, Component] = {}
    with gr.Row(elem_id=TAB.id("create"), elem_classes="nz-workbench"):
        with gr.Column(elem_id=TAB.id("main")):
            asked = words.build(TAB)
            result.build_canvas(TAB)
            result.build_strip(TAB)
            result.build_cells(TAB)
        with gr.Column(elem_id=TAB.id("side")):
            first = basics.build(TAB, studio)
            fields |= asked.fields | first.fields
            for group in (sampling, hires, refiner, advanced):
                fields |= group.build(TAB, studio)
            panels = build_panels(plugins, TAB, studio.axes)
            fields |= panels.fields
            build_clear(TAB)
    return Controls(TAB, asked, first, fields, panels.plans, panels.written, panels.texts)
