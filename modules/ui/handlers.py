"""What a tab that makes pictures does. Each method is reachable over HTTP by anyone who reaches the page: they only
ask the studio."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError

from modules.errors import StorageError, UserError
from modules.imaging import infotext
from modules.schema import GenerationRequest, ModelCard
from modules.schema.problems import explain
from modules.schema.shape import size_like
from modules.services.names import SamplerNames
from modules.services.own import own_picture
from modules.ui import choices
from modules.ui.abilities import unable
from modules.ui.bind import MARK, from_request, mode_of, to_request
from modules.ui.bridge import answer, refusal
from modules.ui.draft import sound
from modules.ui.fields import Choices, Tab
from modules.ui.sizes import ASPECTS, aspect_of, size_for
from modules.ui.visitor import Visitors

if TYPE_CHECKING:
    from modules.services.front import Studio

log = logging.getLogger(__name__)

CARD_FIELDS = ("width", "height", "steps", "cfg_scale", "sampler", "schedule")
"""What a model's card recommends."""
_WORDS = (
    "prompt",
    "negative_prompt",
    "model",
    "steps",
    "cfg_scale",
    "sampler",
    "schedule",
    "clip_skip",
)
"""What goes along when a picture is sent to another tab."""


class Handlers:
    """`fields` are the tab's controls by name; every list of answers is in their order."""

    def __init__(
        self,
        studio: "Studio",
        tab: Tab,
        fields: Mapping[str, Component],
        panels: Sequence[str] = (),
    ) -> None:
        """`panels` are the extensions that have one on the tab."""
        self._studio = studio
        self._tab = tab.name
        self._place = tab
        self._fields = fields
        self._panels = panels

    @property
    def studio(self) -> "Studio":
        """Whom they ask."""
        return self._studio

    def submit(self, request: gr.Request, **values: Any) -> dict[str, Any]:
        """Put a job into the queue: the only thing that a click on Generate does."""
        try:
            job = self._studio.submit(to_request(values), Visitors.client(request))
        except UserError as error:
            return refusal(error)
        return answer("submitted", job=job.id)

    def last_seed(self, request: gr.Request) -> Any:
        """The seed of the visitor's newest picture."""
        newest = self._studio.pictures(client=Visitors.who(request), limit=1)
        return newest[0].seed if newest else gr.skip()

    def apply_aspect(self, aspect: str, model: str | None) -> tuple[Any, Any]:
        """Width and height of that shape for the chosen model."""
        card = self._card(model)
        if card is None or aspect not in ASPECTS:
            return gr.skip(), gr.skip()
        return size_for(aspect, card)

    def apply_model(self, model: str) -> list[Any]:
        """The values that the model's card recommends, the refiners for it, and what it can do."""
        card = self._card(model)
        if card is None:
            return [gr.skip()] * (len(CARD_FIELDS) + 3)
        defaults = card.defaults.model_dump()
        aspect = aspect_of(card.defaults.width, card.defaults.height)
        told = answer("model", tab=self._tab, name=card.name, unable=self._unable(card.name))
        refiners = gr.update(choices=list(choices.refiners(self._studio, card.name)), value="")
        return [defaults[name] for name in CARD_FIELDS] + [refiners, aspect, told]

    def recall(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """Fill the controls from a picture, from a text, or from what they held before.

        `event.what` says what is given: "seed", "words" (all but the seed and what it began with) or "all" of
        `event.picture`; the infotext in `event.text`; a request as JSON in `event.request`; named values in
        `event.values`; a way of work in `event.mode`; or the size of a new picture to begin with, "fit".
        """
        try:
            values, unused = self._recalled(event, request)
        except UserError as error:
            return [*self._updates({}), refusal(error)]
        known = {card.name for card in self._studio.models().cards}
        model = values["model"] if values.get("model") in known else None
        told = answer(
            "recalled",
            tab=self._tab,
            what=event.what,
            model=model,
            unable=self._unable(model) if model else None,
            image=values.get("img2img__image"),
            mode=values.get("img2img__mode"),
            mask=values.get("inpaint__mask"),
            unused=unused,
        )
        return [*self._updates(values), told]

    def restore(self, draft: Any, request: gr.Request) -> list[Any]:
        """On opening the page: the names that exist now, and what this visitor had typed last."""
        cards = self._studio.models().cards
        kept: dict[str, Any] = draft if isinstance(draft, dict) else {}
        kept = kept or self._kept(Visitors.of(request.cookies))
        card = self._card(kept.get("model"))
        offered = {name: self._choices(name, card.name if card else None) for name in self._fields}
        good = sound(kept, self._fields, offered)
        values = {**(card.defaults.model_dump() if card else {}), **good}
        values["model"] = card.name if card else None
        updates = [
            gr.update(choices=list(lists), **({"value": values[name]} if name in values else {}))
            if (lists := offered[name]) is not None
            else update
            for name, update in zip(self._fields, self._updates(values), strict=True)
        ]
        told = answer(
            "restored",
            tab=self._tab,
            model=values["model"],
            models=len(cards),
            image=values.get("img2img__image"),
            mode=values.get("img2img__mode"),
            unable=self._unable(values["model"]),
            neutral={name: field.value for name, field in self._fields.items()},
        )
        return [*updates, aspect_of(values.get("width"), values.get("height")), told]

    def _recalled(
        self, event: gr.EventData, request: gr.Request
    ) -> tuple[dict[str, Any], list[str]]:
        """Values by field name, and parameters of a text that no field takes."""
        match event.what:
            case "defaults":
                return self._defaults(), []
            case "values":
                model = event.values.get("model") if isinstance(event.values, dict) else None
                offered = {name: self._choices(name, model) for name in self._fields}
                return sound(event.values, self._fields, offered), []
            case "mode":
                return sound({"img2img__mode": event.mode}, self._fields), []
            case "fit":
                return self._fitting(event.width, event.height), []
            case "text":
                asked, unused = infotext.to_request(str(event.text), self._studio.read_parameters)
                return self._all_of(asked, whole=False), list(unused)
            case "request":
                return self._all_of(_checked(event.request), whole=True), []
        picture = own_picture(self._studio, int(event.picture), Visitors.who(request))
        job = self._studio.job(picture.job_id)
        if (
            job.request.postprocess is not None
        ):  # its text has both: what it was made with, and what was done then
            asked, unused = infotext.to_request(picture.infotext, self._studio.read_parameters)
            return self._all_of(asked, whole=False), list(unused)
        if event.what == "seed":
            return {"seed": picture.seed}, []
        made = self._studio.request_of(picture)
        if event.what == "words":
            shown = from_request(made)
            return {name: shown[name] for name in _WORDS}, []
        return {**self._all_of(made, whole=True), "seed": picture.seed}, []

    def _all_of(self, request: GenerationRequest, *, whole: bool) -> dict[str, Any]:
        """What the controls show for one picture of `request`; what a text leaves open stays as it is."""
        off = {name: False for name in self._fields if name.endswith(f"{MARK}enabled")}
        shown = from_request(request)
        if not whole:
            shown = {name: value for name, value in shown.items() if value is not None}
            shown |= _spelled(shown.get("sampler"), shown.get("schedule"))
        if "img2img__mode" in self._fields and request.img2img is not None:
            shown["img2img__mode"] = mode_of(request)
        shown["resize__way"] = "to"  # a request says how large the result is
        return {**off, **shown, "batch_count": 1, "batch_size": 1}

    def _kept(self, visitor: str) -> dict[str, Any]:
        """The server's draft, for a browser that has none."""
        try:
            return dict(self._studio.drafts.load(visitor, self._tab))
        except StorageError as error:
            log.warning("%s", error)  # the page opens all the same
            return {}

    def _defaults(self) -> dict[str, Any]:
        """What a new visitor finds."""
        card = self._card(self._studio.default_model)
        laid_out = {name: field.value for name, field in self._fields.items()}
        return {
            **laid_out,
            **(card.defaults.model_dump() if card else {}),
            "model": card.name if card else None,
        }

    def _fitting(self, width: Any, height: Any) -> dict[str, Any]:
        """Width and height for a picture of that size, as the chosen model can do it."""
        card = self._card(None)
        if card is None or not all(isinstance(side, int) and side > 0 for side in (width, height)):
            return {}
        wide, high = size_like(width, height, card)
        return {"width": wide, "height": high}

    def _updates(self, values: Mapping[str, Any]) -> list[Any]:
        """One answer per field; fields that `values` does not name stay."""
        model = values.get("model")
        return [
            self._shown(name, field, values[name], model) if name in values else gr.skip()
            for name, field in self._fields.items()
        ]

    def _shown(self, name: str, field: Component, value: Any, model: Any) -> Any:
        if not isinstance(field, gr.Dropdown):
            return _shown(field, value)
        lists = self._choices(name, model)
        found = _offered(field.choices if lists is None else lists, "" if value is None else value)
        if found is None:
            return gr.skip()
        # The list of refiners goes with the model; the others only grow while the program runs.
        grown = lists is not None and found not in [meant for _, meant in field.choices]
        if lists is not None and (grown or (name == "refiner__model" and model)):
            return gr.update(choices=list(lists), value=found)
        return found

    def _choices(self, name: str, model: Any) -> Choices | None:
        """What a list that changes offers now; None for the others, and for what is no list."""
        if not isinstance(self._fields[name], gr.Dropdown):
            return None
        return choices.of(self._studio, name, model)

    def _unable(self, model: Any) -> dict[str, Any]:
        """What the page greys out."""
        return asdict(unable(self._card(model), self._fields, self._place, self._panels))

    def _card(self, name: Any) -> ModelCard | None:
        return choices.choose_card(self._studio.models().cards, name)


def _shown(field: Component, value: Any) -> Any:
    """Empty is "" where a text is shown, and None where a number is."""
    if isinstance(field, gr.Textbox):
        if isinstance(value, int | float):
            return str(value).removesuffix(".0")  # a number that may be left open
        return value or ""
    if isinstance(field, gr.Slider):
        return gr.skip() if value is None else value
    return value


def _offered(lists: Choices, value: Any) -> Any:
    """The choice that is called so, by its name or its label, in any case; None where there is none."""
    wanted = str(value).casefold()
    for label, meant in lists:
        if wanted in (str(meant).casefold(), str(label).casefold()):
            return meant
    return None


def _spelled(sampler: Any, schedule: Any) -> dict[str, str]:
    """A text's sampler and schedule by the tables' names: "DPM++ 2M Karras" names both."""
    if not sampler:
        return {}
    try:
        name, chosen = SamplerNames().canonical(sampler, schedule, "default")
    except UserError:
        return {}  # the list keeps what it shows; Generate would refuse it
    return {"sampler": name, "schedule": chosen}


def _checked(given: object) -> GenerationRequest:
    try:
        return GenerationRequest.model_validate(given)
    except ValidationError as error:
        wrong = explain(error)
        raise UserError(
            "error.field", field=wrong.field, found=wrong.found, why=wrong.why
        ) from error
