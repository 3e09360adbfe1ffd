"""Hires. fix: a second pass at a larger size."""

from typing import TYPE_CHECKING

import gradio as gr
from gradio.components import Component

from modules.ui import choices
from modules.ui.fields import Tab
from modules.ui.i18n import t

if TYPE_CHECKING:
    from modules.services.front import Studio


def build(tab: Tab, studio: "Studio") -> dict[str, Component]:
    """The group, folded away; 0 and empty fields are as in the first pass."""
    same = [(t("hires.same"), "")]
    with tab.group("hires", "hires"):
        fields: dict[str, Component] = {
            "hires__enabled": tab.switch("hires-enabled", "hires.enabled"),
            "hires__upscaler": tab.choice(
                "hires-upscaler", "hires.upscaler", choices.upscalers(studio), "Latent"
            ),
            "hires__scale": tab.slider("hires-scale", "hires.scale", 1, 4, 2, 0.05),
            "hires__denoising_strength": tab.slider("hires-denoise", "denoise", 0, 1, 0.7, 0.01),
            "hires__steps": tab.slider("hires-steps", "hires.steps", 0, studio.limits.max_steps, 0),
        }
        with gr.Row(elem_classes="nz-pair"):
            fields["hires__width"] = tab.optional("hires-width", "hires.width")
            fields["hires__height"] = tab.optional("hires-height", "hires.height")
        fields["hires__sampler"] = tab.choice(
            "hires-sampler", "sampler", [*same, *choices.samplers(studio)], ""
        )
        fields["hires__schedule"] = tab.choice(
            "hires-schedule", "schedule", [*same, *choices.schedules(studio)], ""
        )
        fields["hires__cfg_scale"] = tab.optional("hires-cfg", "hires.cfg")
        fields["hires__prompt"] = tab.words("hires-prompt", "hires.prompt")
        fields["hires__negative_prompt"] = tab.words("hires-negative", "hires.negative")
        return fields
