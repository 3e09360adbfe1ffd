"""The events that every tab which makes pictures has."""

import json
from typing import Any

import gradio as gr

from modules.ui import plans, written
from modules.ui.controls import Controls
from modules.ui.draft import make_draft
from modules.ui.handlers import CARD_FIELDS, Handlers
from modules.ui.sizes import ASPECTS

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden"}

_ABOUT = {
    "txt2img": "Queue a picture; answers with the number of the job. A group such as hires__… counts once its "
    "hires__enabled is true (refiner: once its model is named; variation: once its strength is above 0).",
    "img2img": "Queue a picture that begins with another one; answers with the number of the job. Hand the picture "
    "in first, POST /ui/inputs with the file as body, and give the id that comes back as img2img__image (a mask, "
    "white is what changes, as inpaint__mask). img2img__mode: img2img, sketch, inpaint, inpaint_sketch, outpaint or batch; a batch "
    'takes batch__images, JSON such as [{"name": "a.png", "id": "…"}], and masks likewise. With resize__way = by the '
    "result is resize__scale times as large as the picture, and width and height do not count.",
}


def wire(controls: Controls, handlers: Handlers, bridge: gr.HTML, page: gr.Blocks) -> None:
    """Connect the controls with their handlers; only the tab's own submit is public in the HTTP API."""
    _submit(controls, handlers, bridge)
    _size_and_seed(controls, handlers)
    _memory(controls, handlers, bridge, page)


def _submit(controls: Controls, handlers: Handlers, bridge: gr.HTML) -> None:
    tab, words = controls.tab, controls.words
    submitted = words.generate.click(
        handlers.submit,
        inputs_kwargs=dict(controls.fields),
        outputs=bridge,
        # Painted strokes and masks are handed in first; their numbers come back as fields.
        js=f"(...values) => noisette.collect({json.dumps(tab.name)}, {json.dumps(controls.names)}, values)",
        api_name=tab.name,
        api_description=_ABOUT[tab.name],
        trigger_mode="multiple",
        **QUIET,
    )
    for button, run in (
        *((row.button, plans.click(handlers.studio, row)) for row in controls.plans),
        *((row.button, written.click(handlers.studio, row)) for row in controls.written),
    ):
        button.click(
            run,
            inputs_kwargs=dict(controls.fields),
            outputs=bridge,
            js=f"(...values) => noisette.collect({json.dumps(tab.name)}, {json.dumps(controls.names)}, values)",
            api_visibility="private",
            **QUIET,
        )
    submitted.failure(fn=None, js="() => { noisette.submitFailed(); }", **QUIET)
    words.stop.click(fn=None, js="() => { noisette.stop(); }", **QUIET)


def _size_and_seed(controls: Controls, handlers: Handlers) -> None:
    fields, basics = controls.fields, controls.basics
    sides = [fields["width"], fields["height"]]
    basics.swap.click(
        fn=None, js="(width, height) => [height, width]", inputs=sides, outputs=sides, **QUIET
    )
    basics.dice.click(fn=None, js="() => -1", outputs=fields["seed"], **QUIET)
    basics.recycle.click(
        handlers.last_seed, outputs=fields["seed"], api_visibility="private", **QUIET
    )
    basics.aspect.input(
        handlers.apply_aspect,
        inputs=[basics.aspect, fields["model"]],
        outputs=sides,
        api_visibility="private",
        **QUIET,
    )
    for side in sides:
        side.change(
            fn=None,
            js=f"(w, h) => noisette.aspectOf(w, h, {json.dumps(ASPECTS)})",
            inputs=sides,
            outputs=basics.aspect,
            **QUIET,
        )


def _memory(controls: Controls, handlers: Handlers, bridge: gr.HTML, page: gr.Blocks) -> None:
    names, fields = controls.names, list(controls.fields.values())
    tab, aspect = controls.tab.name, controls.basics.aspect
    draft = make_draft(controls.tab)
    controls.fields["model"].input(
        handlers.apply_model,
        inputs=controls.fields["model"],
        outputs=[controls.fields[name] for name in (*CARD_FIELDS, "refiner__model")]
        + [aspect, bridge],
        api_visibility="private",
        **QUIET,
    )
    bridge.select(handlers.recall, outputs=[*fields, bridge], api_visibility="private", **QUIET)
    gr.on(
        [field.change for field in fields],
        fn=None,
        js=f"(...values) => noisette.draft({json.dumps(tab)}, {json.dumps(names)}, values)",
        inputs=[*fields, draft],
        outputs=draft,
        **QUIET,
    )
    page.load(
        handlers.restore,
        inputs=draft,
        outputs=[*fields, aspect, bridge],
        api_visibility="private",
        **QUIET,
    )
