"""The request's own fields as axes of a grid, read off its declaration."""

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from modules.errors import UserError
from modules.plugins.axis import Axis, axis_of
from modules.schema import GenerationRequest
from modules.schema.problems import explain
from modules.texts import catalogue

_LEFT_OUT = frozenset(
    {"batch_size", "batch_count", "postprocess", "extras", "img2img.image", "img2img.inpaint.mask"}
)
"""A cell is one picture, and pictures have names that nobody types."""
_NEEDED: Mapping[str, str] = {
    "img2img": "error.axis.img2img",
    "img2img.inpaint": "error.axis.inpaint",
    "refiner": "error.axis.refiner",
}
"""Groups that cannot come about by one of their values."""


def core_axes() -> Iterator[Axis]:
    """An axis for each field of the request, and of its groups as "hires.scale"; size, which is two, comes with them."""
    for name, axis in _walk(GenerationRequest, ""):
        yield axis
        if name == "height":
            yield Axis("size", _title("size", "en"), "text", with_size, _title("size", "zh"))


def with_size(request: GenerationRequest, value: Any) -> GenerationRequest:
    """The request at "768x512".

    Raises:
        UserError: it is written otherwise.
    """
    wide, _, high = str(value).strip().lower().replace("×", "x").partition("x")
    if not (wide.strip().isdecimal() and high.strip().isdecimal()):
        raise UserError("error.axis.size", found=value)
    return _Field(("width",))(_Field(("height",))(request, int(high)), int(wide))


def _walk(model: type[BaseModel], before: str) -> Iterator[tuple[str, Axis]]:
    for field, info in model.model_fields.items():
        name = before + field
        if name in _LEFT_OUT:
            continue
        group = _group(info.annotation)
        if group is not None:
            yield from _walk(group, f"{name}.")
            continue
        axis = axis_of(name, info, _Field(tuple(name.split("."))))
        if axis is not None:
            yield name, replace(axis, title=_title(name, "en"), title_zh=_title(name, "zh"))


@dataclass(frozen=True)
class _Field:
    """Sets one field, in its group where it has one; a group that is off is on then."""

    path: tuple[str, ...]

    def __call__(self, request: GenerationRequest, value: Any) -> GenerationRequest:
        values: dict[str, Any] = request.model_dump()
        held = values
        for at, name in enumerate(self.path[:-1]):
            if held[name] is None:
                place = ".".join(self.path[: at + 1])
                whole = place == "refiner" and self.path[-1] == "model"  # needs nothing else
                if place in _NEEDED and not whole:
                    raise UserError(_NEEDED[place], field=".".join(self.path))
                held[name] = _begun(place, request)
            held = held[name]
        held[self.path[-1]] = value
        try:
            return GenerationRequest.model_validate(values)
        except ValidationError as error:
            wrong = explain(error)
            raise UserError(
                "error.field", field=wrong.field, found=wrong.found, why=wrong.why
            ) from error


def _begun(place: str, request: GenerationRequest) -> dict[str, Any]:
    """What a group that one of its values turns on has beside that."""
    match place:
        case "variation":
            return {"strength": 1.0}
        case "seed_resize":
            return {"width": request.width or 512, "height": request.height or 512}
    return {}


def _group(annotation: Any) -> type[BaseModel] | None:
    kinds = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    found = kinds[0] if len(kinds) == 1 else None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _title(name: str, language: str) -> str:
    texts = catalogue(language)
    return texts.get(f"field.{name}") or name.replace(".", " ").replace("_", " ").capitalize()
