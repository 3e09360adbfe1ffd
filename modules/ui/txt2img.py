"""The txt2img tab: prompt, Generate and picture first, everything else in the column beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from modules.errors import UserError
from modules.plugins.manager import Plugins
from modules.schema import ModelCard, ModelDefaults
from modules.ui.bind import field_name, from_request, to_request
from modules.ui.bridge import answer, bare, refusal
from modules.ui.i18n import t
from modules.ui.panels import build_panels
from modules.ui.sizes import ASPECTS, aspect_of, size_for
from modules.ui.visitor import Visitors

if TYPE_CHECKING:
    from modules.services.front import Studio

TAB = "txt2img"
DRAFT_KEY = "noisette-draft-txt2img"
DRAFT_SECRET = "noisette"  # a draft is no secret; a fixed key lets it survive a restart
_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
_HINTS = ("steps", "cfg", "batch_size", "clip_skip")
_CARD_FIELDS = ("width", "height", "steps", "cfg_scale", "sampler", "schedule")


@dataclass(frozen=True)
class _Controls:
    """The tab's components: `fields` are those of the request, by name."""

    fields: Mapping[str, Component]
    aspect: gr.Radio
    generate: gr.Button
    stop: gr.Button
    swap: gr.Button
    dice: gr.Button
    recycle: gr.Button

    @property
    def names(self) -> list[str]:
        """The fields' names in the order in which events carry them."""
        return list(self.fields)


def build(studio: "Studio", plugins: Plugins, bridge: gr.HTML, page: gr.Blocks) -> None:
    """Lay the tab out and wire it; called inside its `gr.Tab`."""
    draft = gr.BrowserState({}, storage_key=DRAFT_KEY, secret=DRAFT_SECRET)
    controls = _lay_out(studio, plugins)
    handlers = _Handlers(studio, controls)
    fields = list(controls.fields.values())

    submitted = controls.generate.click(
        handlers.submit,
        inputs_kwargs=dict(controls.fields),
        outputs=bridge,
        api_name="txt2img",
        api_description="Queue a picture; answers with the number of the job.",
        trigger_mode="multiple",
        **_QUIET,
    )
    submitted.failure(fn=None, js="() => { noisette.submitFailed(); }", **_QUIET)
    controls.stop.click(fn=None, js="() => { noisette.stop(); }", **_QUIET)
    controls.swap.click(
        fn=None,
        js="(width, height) => [height, width]",
        inputs=[controls.fields["width"], controls.fields["height"]],
        outputs=[controls.fields["width"], controls.fields["height"]],
        **_QUIET,
    )
    controls.dice.click(fn=None, js="() => -1", outputs=controls.fields["seed"], **_QUIET)
    controls.recycle.click(
        handlers.last_seed, outputs=controls.fields["seed"], api_visibility="private", **_QUIET
    )
    controls.aspect.input(
        handlers.apply_aspect,
        inputs=[controls.aspect, controls.fields["model"]],
        outputs=[controls.fields["width"], controls.fields["height"]],
        api_visibility="private",
        **_QUIET,
    )
    for side in ("width", "height"):
        controls.fields[side].change(
            fn=None,
            js=f"(w, h) => noisette.aspectOf(w, h, {json.dumps(ASPECTS)})",
            inputs=[controls.fields["width"], controls.fields["height"]],
            outputs=controls.aspect,
            **_QUIET,
        )
    controls.fields["model"].input(
        handlers.apply_model,
        inputs=controls.fields["model"],
        outputs=[controls.fields[name] for name in _CARD_FIELDS] + [controls.aspect, bridge],
        api_visibility="private",
        **_QUIET,
    )
    bridge.select(handlers.recall, outputs=[*fields, bridge], api_visibility="private", **_QUIET)

    # What is typed stays in the browser, so that F5, a crash or a restart of the program loses no word.
    gr.on(
        [field.change for field in fields],
        fn=None,
        js=f"(...values) => noisette.draft({json.dumps(controls.names)}, values)",
        inputs=[*fields, draft],
        outputs=draft,
        **_QUIET,
    )
    page.load(
        handlers.restore,
        inputs=draft,
        outputs=[*fields, controls.aspect, bridge],
        api_visibility="private",
        **_QUIET,
    )


class _Handlers:
    """What the tab does. Each is reachable over HTTP by anyone who reaches the page: they only ask the studio."""

    def __init__(self, studio: "Studio", controls: _Controls) -> None:
        self._studio = studio
        self._controls = controls

    def submit(self, request: gr.Request, **values: Any) -> dict[str, Any]:
        """Put a job into the queue: the only thing that a click on Generate does."""
        try:
            job = self._studio.submit(to_request(values), Visitors.of(request.cookies))
        except UserError as error:
            return refusal(error)
        return answer("submitted", job=job.id)

    def last_seed(self, request: gr.Request) -> Any:
        """The seed of the visitor's newest picture."""
        newest = self._studio.pictures(client=Visitors.of(request.cookies), limit=1)
        return newest[0].seed if newest else gr.skip()

    def apply_aspect(self, aspect: str, model: str | None) -> tuple[Any, Any]:
        """Width and height of that shape for the chosen model."""
        card = self._card(model)
        if card is None or aspect not in ASPECTS:
            return gr.skip(), gr.skip()
        return size_for(aspect, card)

    def apply_model(self, model: str) -> list[Any]:
        """The values that the model's card recommends."""
        card = self._card(model)
        if card is None:
            return [gr.skip()] * (len(_CARD_FIELDS) + 2)
        defaults = card.defaults.model_dump()
        aspect = aspect_of(card.defaults.width, card.defaults.height)
        return [defaults[name] for name in _CARD_FIELDS] + [aspect, answer("model", name=card.name)]

    def recall(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """Fill the controls from a picture: its seed only, or everything that made it."""
        names = self._controls.names
        try:
            picture = self._studio.picture(int(event.picture))
            job = self._studio.job(picture.job_id, Visitors.of(request.cookies))
            values: dict[str, Any] = {"seed": picture.seed}
            if event.what == "all":
                off = {name: False for name in names if name.endswith(field_name("", "enabled"))}
                one = {"batch_count": 1, "batch_size": 1}
                values = {**off, **from_request(job.request), **values, **one}
        except UserError as error:
            return [gr.skip()] * len(names) + [refusal(error)]
        told = answer("recalled", what=event.what, model=values.get("model"))
        return [values.get(name, gr.skip()) for name in names] + [told]

    def restore(self, draft: Any) -> list[Any]:
        """On opening the page: the names that exist now, and what this browser had typed last."""
        cards = self._studio.models().cards
        kept: dict[str, Any] = draft if isinstance(draft, dict) else {}
        card = self._card(kept.get("model"))
        values = {**_defaults(card), **_sound(kept, self._controls.fields)}
        values["model"] = card.name if card else None
        updates = [
            gr.update(choices=_model_choices(cards), value=values["model"])
            if name == "model"
            else values.get(name, gr.skip())
            for name in self._controls.names
        ]
        aspect = aspect_of(values.get("width"), values.get("height"))
        return [*updates, aspect, answer("restored", model=values["model"])]

    def _card(self, name: Any) -> ModelCard | None:
        return choose_card(self._studio.models().cards, name)


def choose_card(cards: Sequence[ModelCard], name: Any) -> ModelCard | None:
    """The card of that name, else the first, else None."""
    return next((card for card in cards if card.name == name), cards[0] if cards else None)


def _model_choices(cards: Sequence[ModelCard]) -> list[tuple[str, str]]:
    return [(card.title or card.name, card.name) for card in cards]


def _defaults(card: ModelCard | None) -> dict[str, Any]:
    return card.defaults.model_dump() if card else {}


def _sound(draft: Mapping[str, Any], fields: Mapping[str, Component]) -> dict[str, Any]:
    """What of a draft can still be shown: an old version or another program may have written it."""
    good: dict[str, Any] = {}
    for name, value in draft.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        if isinstance(field, gr.Dropdown) and value not in [choice[1] for choice in field.choices]:
            continue
        if isinstance(field, gr.Slider | gr.Number) and not isinstance(value, int | float):
            continue
        if isinstance(field, gr.Slider) and not field.minimum <= value <= field.maximum:
            continue
        if isinstance(field, gr.Textbox) and not isinstance(value, str):
            continue
        good[name] = value
    return good


def _lay_out(studio: "Studio", plugins: Plugins) -> _Controls:
    card = choose_card(studio.models().cards, studio.default_model)
    fields: dict[str, Component] = {}
    with gr.Row(elem_id="nz-create"):
        with gr.Column(elem_id="nz-main"):
            with gr.Row(elem_id="nz-ask"):
                with gr.Column(elem_id="nz-words"):
                    fields |= _words()
                with gr.Column(elem_id="nz-act"):
                    generate = gr.Button(t("generate"), variant="primary", elem_id="nz-generate")
                    stop = gr.Button(t("stop"), variant="stop", elem_id="nz-stop")
            bare('<div id="nz-notice" role="alert"></div>')
            bare('<section id="nz-canvas"></section>', elem_id="nz-stage")
            bare('<section id="nz-strip"></section>')
        with gr.Column(elem_id="nz-side"):
            with gr.Column(elem_classes="nz-panel"):
                fields["model"] = gr.Dropdown(
                    _model_choices(studio.models().cards),
                    value=card.name if card else None,
                    label=t("model"),
                    elem_id="nz-model",
                )
                bare('<div id="nz-model-info"></div>')
            with gr.Column(elem_classes="nz-panel"):
                size = (card.defaults.width, card.defaults.height) if card else (None, None)
                aspect = gr.Radio(
                    list(ASPECTS), value=aspect_of(*size), label=t("format"), elem_id="nz-aspect"
                )
                with gr.Row(elem_id="nz-size"):
                    fields["width"] = _number("width", size[0])
                    swap = gr.Button("⇄", elem_id="nz-swap", min_width=44)
                    fields["height"] = _number("height", size[1])
            with gr.Column(elem_classes="nz-panel"):
                most = min(studio.limits.max_batch_count, 20)
                fields["batch_count"] = _slider("batch_count", 1, most, 1, "nz-count")
                with gr.Row(elem_id="nz-seed-row"):
                    fields["seed"] = _number("seed", -1)
                    dice = gr.Button(t("seed.random"), elem_id="nz-dice", size="sm")
                    recycle = gr.Button(t("seed.last"), elem_id="nz-recycle", size="sm")
            fields |= _sampling(studio, card)
            fields |= build_panels(plugins, TAB)
    return _Controls(fields, aspect, generate, stop, swap, dice, recycle)


def _words() -> dict[str, Component]:
    return {
        "prompt": gr.Textbox(
            label=t("prompt"),
            placeholder=t("prompt.hint"),
            lines=2,
            max_lines=8,
            autofocus=True,
            elem_id="nz-prompt",
        ),
        "negative_prompt": gr.Textbox(
            label=t("negative"),
            placeholder=t("negative.hint"),
            lines=1,
            max_lines=4,
            elem_id="nz-negative",
        ),
    }


def _sampling(studio: "Studio", card: ModelCard | None) -> dict[str, Component]:
    defaults = card.defaults if card else ModelDefaults()
    with gr.Accordion(t("sampling"), open=False, elem_id="nz-sampling", elem_classes="nz-panel"):
        return {
            "steps": _slider("steps", 1, studio.limits.max_steps, defaults.steps, "nz-steps"),
            "cfg_scale": _slider("cfg", 0, 30, defaults.cfg_scale, "nz-cfg", step=0.1),
            "sampler": gr.Dropdown(
                [(sampler.label, sampler.name) for sampler in studio.samplers],
                value=defaults.sampler,
                label=t("sampler"),
                elem_id="nz-sampler",
            ),
            "schedule": gr.Dropdown(
                [(schedule.label, schedule.name) for schedule in studio.schedules],
                value=defaults.schedule,
                label=t("schedule"),
                elem_id="nz-schedule",
            ),
            "batch_size": _slider(
                "batch_size", 1, studio.limits.max_batch_size, 1, "nz-batch-size"
            ),
            "clip_skip": _slider("clip_skip", 1, 12, 1, "nz-clip-skip"),
        }


def _slider(
    key: str, least: float, most: float, value: float, elem_id: str, step: float = 1
) -> gr.Slider:
    hint = t(f"{key}.hint") if key in _HINTS else None
    return gr.Slider(
        least,
        most,
        value=value,
        step=step,
        label=t(key),
        info=hint,
        elem_id=elem_id,
        buttons=[],
    )


def _number(name: str, value: int | None) -> gr.Number:
    # Without bounds of Gradio's own: ours are checked by the studio, whose message is in the visitor's language.
    return gr.Number(value=value, label=t(name), precision=0, elem_id=f"nz-{name}", min_width=80)
