"""What a grid can vary."""

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import annotated_types
from pydantic.fields import FieldInfo

from modules.plugins.options import Options
from modules.schema import GenerationRequest

Kind = Literal["int", "float", "bool", "choice", "text"]


@dataclass(frozen=True)
class Axis:
    """One dimension of a grid: `apply(request, value)` gives the request with that value and leaves the first as it is.

    `name` is "extension.thing"; of the request's own fields it is the field's. `least`, `most` and `choices` say which
    values make sense, where that is known; the choices of a text are those that are here now, by their names.
    """

    name: str
    title: str
    kind: Kind
    apply: Callable[[GenerationRequest, Any], GenerationRequest]
    title_zh: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[Any, ...] = ()


def axes_of(extension: str, options: type[Options]) -> Iterator[Axis]:
    """An axis for each option that has a simple type; the request of each of its values has the extension enabled."""
    for option, info in options.model_fields.items():
        axis = axis_of(f"{extension}.{option}", info, _Option(extension, option))
        if option != "enabled" and axis is not None:
            yield axis


def axis_of(
    name: str, info: FieldInfo, apply: Callable[[GenerationRequest, Any], GenerationRequest]
) -> Axis | None:
    """The axis of a declared field, None where its type is not a simple one."""
    kind, choices = _kind(info.annotation)
    if kind is None:
        return None
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Axis(
        name=name,
        title=info.title or name.rpartition(".")[2].replace("_", " ").capitalize(),
        title_zh=str(extra.get("title_zh") or ""),
        kind=kind,
        least=_bound(info, annotated_types.Ge, "ge"),
        most=_bound(info, annotated_types.Le, "le"),
        choices=choices,
        apply=apply,
    )


@dataclass(frozen=True)
class _Option:
    """Sets one option of one extension."""

    extension: str
    option: str

    def __call__(self, request: GenerationRequest, value: Any) -> GenerationRequest:
        mine = {**request.extras.get(self.extension, {}), "enabled": True, self.option: value}
        return request.replace(extras={**request.extras, self.extension: mine})


def _kind(annotation: Any) -> tuple[Kind | None, tuple[Any, ...]]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(annotation) if each is not type(None)]
        return _kind(kinds[0]) if len(kinds) == 1 else (None, ())
    if typing.get_origin(annotation) is Annotated:
        return _kind(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is Literal:
        return "choice", typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "choice", tuple(member.value for member in annotation)
    simple: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
    return simple.get(annotation), ()


def _bound(info: FieldInfo, kind: type, attribute: str) -> float | None:
    pieces = list(info.metadata)
    for inner in (info.annotation, *typing.get_args(info.annotation)):  # `Annotated[…] | None`
        if typing.get_origin(inner) is Annotated:
            for each in typing.get_args(inner)[1:]:
                pieces += each.metadata if isinstance(each, FieldInfo) else [each]
    for piece in pieces:
        if isinstance(piece, kind):
            return float(getattr(piece, attribute))
    return None
