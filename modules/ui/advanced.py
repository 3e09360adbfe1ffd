"""What the experienced set by hand: VAE, seeds' finer points, tiling, guidance, and the samplers' own numbers."""

from typing import TYPE_CHECKING

import gradio as gr
from gradio.components import Component

from modules.ui import choices
from modules.ui.bridge import bare, heading
from modules.ui.fields import Tab

if TYPE_CHECKING:
    from modules.services.front import Studio

EMPHASIS = ("original", "no_norm", "ignore", "none")
TILING = ("off", "both", "x", "y")
RNG = ("cpu", "nv")


def build(tab: Tab, studio: "Studio") -> dict[str, Component]:
    """The group, folded away, in four sections."""
    with tab.group("advanced", "advanced"):
        return _model(tab, studio) | _seed(tab) | _guidance(tab) | _sampler(tab)


def _model(tab: Tab, studio: "Studio") -> dict[str, Component]:
    heading("advanced.model")
    fields: dict[str, Component] = {
        "vae": tab.choice("vae", "vae", choices.vaes(studio), ""),
        "clip_skip": tab.slider("clip-skip", "clip_skip", 1, 12, 1),
        "emphasis": tab.named("emphasis", "emphasis", EMPHASIS, EMPHASIS[0]),
        "tiling": tab.named("tiling", "tiling", TILING, TILING[0]),
    }
    bare(f'<div id="{tab.id("inversions")}"></div>')  # `prompt.js` lists them
    return fields


def _seed(tab: Tab) -> dict[str, Component]:
    heading("advanced.seed")
    fields: dict[str, Component] = {
        "variation__strength": tab.slider(
            "variation-strength", "variation.strength", 0, 1, 0, 0.01
        ),
        "variation__seed": tab.number("variation-seed", "variation.seed", -1),
    }
    with gr.Row(elem_classes="nz-pair"):
        fields["seed_resize__width"] = tab.optional("seed-width", "seed_resize.width")
        fields["seed_resize__height"] = tab.optional("seed-height", "seed_resize.height")
    fields["rng"] = tab.named("rng", "rng", RNG, RNG[0])
    return fields


def _guidance(tab: Tab) -> dict[str, Component]:
    heading("advanced.guidance")
    return {
        "guidance__rescale": tab.slider("guidance-rescale", "guidance.rescale", 0, 1, 0, 0.05),
        "guidance__start": tab.slider("guidance-start", "guidance.start", 0, 1, 0, 0.05),
        "guidance__end": tab.slider("guidance-end", "guidance.end", 0, 1, 1, 0.05),
    }


def _sampler(tab: Tab) -> dict[str, Component]:
    """Empty is what the sampler or schedule does by itself."""
    heading("advanced.sampler")
    fields: dict[str, Component] = {}
    with gr.Column(elem_id=tab.id("sampler-settings"), elem_classes="nz-stack"):
        for pair in _PAIRS:
            with gr.Row(elem_classes="nz-pair"):
                for name, value in pair:
                    fields[f"sampler_options__{name}"] = _sampler_option(tab, name, value)
        fields["sampler_options__discard_next_to_last_sigma"] = tab.switch(
            "sampler-discard", "sampler.discard_next_to_last_sigma"
        )
    # The noise of a seed is made here for every family: this one is never greyed out.
    fields["sampler_options__eta_noise_seed_delta"] = tab.number(
        "sampler-ensd", "sampler.eta_noise_seed_delta", 0
    )
    return fields


def _sampler_option(tab: Tab, name: str, value: float | None) -> Component:
    element, key = f"sampler-{name}", f"sampler.{name}"
    return tab.optional(element, key) if value is None else tab.number(element, key, value)


_PAIRS: tuple[tuple[tuple[str, float | None], ...], ...] = (
    (("eta", None), ("s_noise", 1)),
    (("s_churn", 0), ("s_tmin", 0)),
    (("s_tmax", None), ("rho", None)),
    (("sigma_min", None), ("sigma_max", None)),
    (("beta_alpha", None), ("beta_beta", None)),
)
