"""What every body that comes from outside is checked for, whatever its fields are: one base class, so that none is forgotten."""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from modules.errors import UserError

SURROGATE = "lone_surrogate"
"""The type of the error, in pydantic's words."""


def broken_text(value: Any) -> UserError | None:
    """Why a text, or any text within JSON's lists and groups, cannot be written down; None if it can."""
    for text in _texts(value):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = f"U+{ord(text[error.start]):04X}"
            return UserError("why.surrogate", code=code, place=error.start + 1)
    return None


def _texts(value: Any) -> Iterator[str]:
    left = [value]  # no recursion: what clients send may be as deep as they like
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as group:
                left += group.keys()
                left += group.values()
            case list() | tuple() as several:
                left += several


@cache
def _fields(model: type[BaseModel]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The fields for whole numbers, for numbers, and for lists and groups without fields of their own."""
    whole, numbers, several = set(), set(), set()
    for name, field in model.model_fields.items():
        kinds = frozenset(_parts(field.annotation))
        if bool not in kinds and float in kinds:
            numbers.add(name)
        elif bool not in kinds and int in kinds:
            whole.add(name)
        elif kinds & {dict, list, tuple}:
            several.add(name)
    return frozenset(whole), frozenset(numbers), frozenset(several)


def _parts(annotation: Any) -> Iterator[Any]:
    yield get_origin(annotation) or annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _error(why: UserError | None) -> PydanticCustomError | None:
    return None if why is None else PydanticCustomError(SURROGATE, str(why), dict(why.values))


def _sound(model: type[BaseModel], values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    whole, numbers, several = _fields(model)
    wrong: list[InitErrorDetails] = []
    for name, value in values.items():
        kind: str | PydanticCustomError | None = None
        if isinstance(value, bool):
            kind = "int_type" if name in whole else "float_type" if name in numbers else None
        elif isinstance(value, str):
            kind = None if value.isascii() else _error(broken_text(value))
        elif name in several:  # what has fields of its own comes along here itself
            kind = _error(broken_text(value))
        if kind is not None:
            wrong.append({"type": kind, "loc": (name,), "input": value})
    if wrong:
        raise ValidationError.from_exception_data(model.__name__, wrong)
    return values


class Received(BaseModel):
    """Base class of requests and bodies: a boolean is no number, and a text is one that can be written down.

    Pydantic takes `true` for 1 where a number is asked. Half a character (a lone surrogate, from a client that cuts an
    emoji in two) can be neither stored nor shown; to write something else instead would make another picture.
    """

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Look at the values once before the fields do; not in rows of ours, which are read as JSON, by the thousand."""
        plain = handler(source)
        looked_at = core_schema.no_info_before_validator_function(partial(_sound, cls), plain)
        return core_schema.json_or_python_schema(json_schema=plain, python_schema=looked_at)
