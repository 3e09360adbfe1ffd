"""Model, size, number of pictures and seed: the panels that are always open."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr
from gradio.components import Component

from modules.ui import choices
from modules.ui.bridge import bare
from modules.ui.fields import Tab
from modules.ui.i18n import t
from modules.ui.sizes import ASPECTS, aspect_of

if TYPE_CHECKING:
    from modules.services.front import Studio

_MOST_PICTURES = 20


@dataclass(frozen=True)
class Basics:
    """What `build` has laid out."""

    fields: dict[str, Component]
    aspect: gr.Radio
    swap: gr.Button
    dice: gr.Button
    recycle: gr.Button


def build(tab: Tab, studio: "Studio") -> Basics:
    """Three panels; called inside the column at the side."""
    card = choices.choose_card(studio.models().cards, studio.default_model)
    size = (card.defaults.width, card.defaults.height) if card else (None, None)
    fields: dict[str, Component] = {}
    with gr.Column(elem_classes="nz-panel"):
        fields["model"] = tab.choice(
            "model", "model", choices.models(studio), card.name if card else None
        )
        bare(f'<div id="{tab.id("model-info")}" class="nz-model-info"></div>')
    with gr.Column(elem_classes="nz-panel"):
        aspect = gr.Radio(
            list(ASPECTS), value=aspect_of(*size), label=t("format"), elem_id=tab.id("aspect")
        )
        with gr.Row(elem_id=tab.id("size")):
            fields["width"] = tab.number("width", "width", size[0])
            swap = gr.Button("⇄", elem_id=tab.id("swap"), min_width=44)
            fields["height"] = tab.number("height", "height", size[1])
    with gr.Column(elem_classes="nz-panel"):
        most = min(studio.limits.max_batch_count, _MOST_PICTURES)
        fields["batch_count"] = tab.slider("count", "batch_count", 1, most, 1)
        with gr.Row(elem_id=tab.id("seed-row")):
            fields["seed"] = tab.number("seed", "seed", -1)
            dice = gr.Button(t("seed.random"), elem_id=tab.id("dice"), size="sm")
            recycle = gr.Button(t("seed.last"), elem_id=tab.id("recycle"), size="sm")
    return Basics(fields, aspect, swap, dice, recycle)
