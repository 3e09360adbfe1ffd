"""What img2img begins with: the picture, what is painted on it, and how it is used.

The editor itself is `editor.js`. Controls that belong to one way of work carry a class (`nz-only-inpaint`); the
tab's `data-mode` shows them.
"""

import gradio as gr
from gradio.components import Component

from modules.ui.bind import MODES
from modules.ui.bridge import bare
from modules.ui.fields import Tab
from modules.ui.i18n import t

RESIZE_MODES = ("just_resize", "crop_and_resize", "resize_and_fill", "latent_upscale")
MASK_MODES = ("masked", "not_masked")
CONTENTS = ("original", "fill", "latent_noise", "latent_nothing")
AREAS = ("whole_picture", "only_masked")
WAYS = ("to", "by")
"""The size of the result: width and height, or that of the picture times a factor."""


def build_modes(tab: Tab) -> dict[str, Component]:
    """The row of ways of work, and the fields that the script fills in."""
    return {
        "img2img__mode": gr.Radio(
            [(t(f"mode.{name}"), name) for name in MODES],
            value=MODES[0],
            label=t("mode"),
            show_label=False,
            elem_id=tab.id("mode"),
            elem_classes="nz-segments",
        ),
        "img2img__image": tab.kept("image"),
        "inpaint__mask": tab.kept("mask"),
        "batch__images": tab.kept("batch-images"),
        "batch__masks": tab.kept("batch-masks"),
    }


def build_editor(tab: Tab) -> None:
    """The place of the editor."""
    bare(f'<section id="{tab.id("editor")}" class="nz-editor"></section>')


def build_settings(tab: Tab) -> dict[str, Component]:
    """How the picture is used; first in the column at the side."""
    fields: dict[str, Component] = {}
    with gr.Column(elem_classes="nz-panel"):
        fields["img2img__denoising_strength"] = tab.slider("denoise", "denoise", 0, 1, 0.75, 0.01)
        fields["img2img__resize_mode"] = tab.named(
            "resize-mode", "resize_mode", RESIZE_MODES, RESIZE_MODES[0]
        )
        fields["resize__way"] = tab.named("resize-way", "resize_way", WAYS, WAYS[0])
        fields["resize__scale"] = tab.slider("resize-scale", "resize_scale", 0.05, 4, 1, 0.05)
        bare(f'<div id="{tab.id("resized")}" class="nz-muted"></div>')  # `editor.js` says the size
    fields |= _inpaint(tab) | _outpaint(tab) | _batch(tab) | _more(tab)
    return fields


def _inpaint(tab: Tab) -> dict[str, Component]:
    with gr.Column(elem_classes="nz-panel nz-only-inpaint"):
        fields: dict[str, Component] = {
            "inpaint__content": tab.named("content", "content", CONTENTS, CONTENTS[0]),
            "inpaint__area": tab.named("area", "area", AREAS, AREAS[0]),
            "inpaint__padding": tab.slider("padding", "padding", 0, 256, 32, 4),
            "inpaint__mode": tab.named("mask-mode", "mask_mode", MASK_MODES, MASK_MODES[0]),
            "inpaint__blur": tab.slider("mask-blur", "mask_blur", 0, 64, 4),
        }
    with tab.group("soft", "soft", more="nz-only-inpaint"):
        fields["soft__enabled"] = tab.switch("soft-enabled", "soft.enabled")
        for name, most, value, step in _SOFT:
            fields[f"soft__{name}"] = tab.slider(f"soft-{name}", f"soft.{name}", *most, value, step)
    return fields


_SOFT = (
    ("schedule_bias", (0, 8), 1.0, 0.1),
    ("preservation_strength", (0, 8), 0.5, 0.05),
    ("transition_contrast_boost", (1, 32), 4.0, 0.5),
    ("mask_influence", (0, 1), 0.0, 0.05),
    ("difference_threshold", (0, 8), 0.5, 0.25),
    ("difference_contrast", (0, 8), 2.0, 0.25),
)


def _outpaint(tab: Tab) -> dict[str, Component]:
    with gr.Column(elem_classes="nz-panel nz-only-outpaint"):
        return {
            **{
                f"outpaint__{side}": tab.slider(f"out-{side}", f"outpaint.{side}", 0, 512, 0, 8)
                for side in ("left", "right", "up", "down")
            },
            "outpaint__blur": tab.slider("out-blur", "mask_blur", 0, 64, 8),
        }


def _batch(tab: Tab) -> dict[str, Component]:
    with gr.Column(elem_classes="nz-panel nz-only-batch"):
        return {
            "batch__folder": tab.words("batch-folder", "batch.folder", most=1),
            "batch__mask_folder": tab.words("batch-mask-folder", "batch.mask_folder", most=1),
        }


def _more(tab: Tab) -> dict[str, Component]:
    with tab.group("source-more", "source.more"):
        return {
            "img2img__full_steps": tab.switch("full-steps", "full_steps"),
            "img2img__color_correction": tab.switch("color", "color_correction"),
            "img2img__image_cfg_scale": tab.slider("image-cfg", "image_cfg", 0, 10, 1.5, 0.05),
            "img2img__noise_multiplier": tab.slider("noise", "noise_multiplier", 0, 1.5, 1, 0.01),
            "img2img__extra_noise": tab.slider("extra-noise", "extra_noise", 0, 1, 0, 0.01),
        }
