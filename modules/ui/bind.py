"""From what the page's controls hold to a `GenerationRequest`, by name and never by position.

A field of the request has its own name; a field of one of its groups is `group__field` (`hires__scale`); so is an
option of an extension (`freeu__scale`). Groups that are off leave no trace in the request.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from modules.errors import UserError
from modules.schema import (
    GenerationRequest,
    Guidance,
    Hires,
    Img2Img,
    Inpaint,
    Outpaint,
    Refiner,
    SamplerOptions,
    SeedResize,
    SoftInpainting,
    Variation,
)
from modules.schema.problems import explain

MARK = "__"
MODES = ("img2img", "sketch", "inpaint", "inpaint_sketch", "outpaint", "batch")
"""The img2img tab's ways of work. By the time that they are a request, sketch and batch are
plain img2img, and an inpaint sketch is an inpainting whose picture is the painted one."""

GROUPS: Mapping[str, type] = {
    "variation": Variation,
    "seed_resize": SeedResize,
    "guidance": Guidance,
    "sampler_options": SamplerOptions,
    "hires": Hires,
    "refiner": Refiner,
    "img2img": Img2Img,
    "inpaint": Inpaint,
    "soft": SoftInpainting,
    "outpaint": Outpaint,
}
"""The groups by the first half of their fields' names; no extension may have such a name."""

_WHOLE = frozenset({"width", "height", "steps", "seed", "batch_size", "batch_count", "clip_skip"})
_SIDES = ("left", "right", "up", "down")

Values = Mapping[str, Any]


def field_name(group: str, option: str) -> str:
    """The name under which a group's field or an extension's option travels in an event and in the HTTP API."""
    return f"{group}{MARK}{option}"


def to_request(values: Values) -> GenerationRequest:
    """Make the request; an empty control means "what the model's card says".

    Raises:
        UserError: names the field and what was found in it, or says which picture is missing.
    """
    own: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part, mark, field = name.partition(MARK)
        if mark:
            parts.setdefault(part, {})[field] = value
        elif _given(value):
            own[name] = _number(name, value)
    groups = {name: parts.pop(name, {}) for name in GROUPS}
    try:
        return GenerationRequest.model_validate({**own, **_used(groups), "extras": _enabled(parts)})
    except ValidationError as error:
        wrong = explain(error)
        raise UserError(
            "error.field", field=wrong.field, found=wrong.found, why=wrong.why
        ) from error


def from_request(request: GenerationRequest) -> dict[str, Any]:
    """The inverse: what each control has to show for `request`; names as in `to_request`."""
    values = request.model_dump(exclude={"extras", *GROUPS})
    for name, group in _groups_of(request).items():
        shown = group.model_dump(exclude={"inpaint", "outpaint", "soft"}) if group else {}
        values |= {field_name(name, field): value for field, value in shown.items()}
    if request.hires is not None:
        sides = {"width": request.hires.width or None, "height": request.hires.height or None}
        values |= {field_name("hires", side): value for side, value in sides.items()}
    values |= _switches(request)
    for extension, options in request.extras.items():
        values |= {field_name(extension, option): value for option, value in options.items()}
    return values


def mode_of(request: GenerationRequest) -> str:
    """The img2img tab's way of work that shows a request."""
    picture = request.img2img
    if picture is None:
        return MODES[0]
    return "inpaint" if picture.inpaint else "outpaint" if picture.outpaint else MODES[0]


def _given(value: Any) -> bool:
    return value is not None and value != ""


def _used(groups: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The groups that take part, as the request wants them."""
    found: dict[str, Any] = {}
    plain = {name: {k: v for k, v in group.items() if _given(v)} for name, group in groups.items()}
    for name in ("guidance", "sampler_options"):
        if plain[name]:
            found[name] = plain[name]
    if plain["variation"].get("strength"):
        found["variation"] = plain["variation"]
    if any(plain["seed_resize"].values()):
        found["seed_resize"] = plain["seed_resize"]
    if plain["hires"].pop("enabled", False):
        found["hires"] = plain["hires"]
    if plain["refiner"].get("model"):
        found["refiner"] = plain["refiner"]
    if plain["img2img"]:
        found["img2img"] = _picture(plain)
    return found


def _picture(plain: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The group `img2img` of a request, with what its mode adds."""
    group = dict(plain["img2img"])
    mode = group.pop("mode", MODES[0])
    if mode not in MODES:
        raise UserError("error.field", field="img2img.mode", found=mode, why=", ".join(MODES))
    if not group.get("image"):
        raise UserError("error.img2img.image")
    if mode in ("inpaint", "inpaint_sketch"):
        inpaint = dict(plain["inpaint"])
        if not inpaint.get("mask"):
            raise UserError("error.img2img.mask")
        soft = dict(plain["soft"])
        if soft.pop("enabled", False):
            inpaint["soft"] = soft
        group["inpaint"] = inpaint
    if mode == "outpaint":
        if not any(plain["outpaint"].get(side) for side in _SIDES):
            raise UserError("error.img2img.sides")
        group["outpaint"] = plain["outpaint"]
    return group


def _groups_of(request: GenerationRequest) -> dict[str, Any]:
    picture = request.img2img
    inpaint = picture.inpaint if picture else None
    return {
        "variation": request.variation,
        "seed_resize": request.seed_resize,
        "guidance": request.guidance,
        "sampler_options": request.sampler_options,
        "hires": request.hires,
        "refiner": request.refiner,
        "img2img": picture,
        "inpaint": inpaint,
        "soft": inpaint.soft if inpaint else None,
        "outpaint": picture.outpaint if picture else None,
    }


def _switches(request: GenerationRequest) -> dict[str, Any]:
    """What turns a group on, or off where the request does without it."""
    groups = _groups_of(request)
    values: dict[str, Any] = {
        field_name("hires", "enabled"): groups["hires"] is not None,
        field_name("soft", "enabled"): groups["soft"] is not None,
    }
    if groups["refiner"] is None:
        values[field_name("refiner", "model")] = ""
    if groups["variation"] is None:
        values[field_name("variation", "strength")] = 0
    if groups["seed_resize"] is None:
        values |= {field_name("seed_resize", side): None for side in ("width", "height")}
    if groups["img2img"] is not None:
        values[field_name("img2img", "mode")] = mode_of(request)
    return values


def _enabled(extras: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    # A panel that is off leaves no trace in the request, so that pictures without it stay the same picture.
    return {name: options for name, options in extras.items() if options.get("enabled", True)}


def _number(name: str, value: Any) -> Any:
    # The browser sends 20.0 or "20" for a whole number; what is none stays and is refused by name.
    if name in _WHOLE and isinstance(value, str):
        value = value.strip()
        return int(value) if value.lstrip("-").isdigit() else value
    if name in _WHOLE and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
