"""What pydantic found wrong with a value, in words of the catalogue instead of pydantic's own English."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from modules.errors import UserError
from modules.schema.received import SURROGATE

_PREFIX = "why."
_KEYS: Mapping[str, str] = {
    "int_type": "whole",
    "int_parsing": "whole",
    "int_from_float": "whole",
    "int_parsing_size": "whole",
    "float_type": "number",
    "float_parsing": "number",
    "finite_number": "finite",
    "string_type": "text",
    "path_type": "text",
    "bool_type": "switch",
    "bool_parsing": "switch",
    "extra_forbidden": "unknown",
    "missing": "missing",
    "string_pattern_mismatch": "form",
    "model_type": "group",
    "model_attributes_type": "group",
    "dict_type": "group",
    "list_type": "list",
    "tuple_type": "list",
}
_WITH_BOUND: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("at_least", "ge"),
    "greater_than": ("more_than", "gt"),
    "less_than_equal": ("at_most", "le"),
    "less_than": ("less_than", "lt"),
    "literal_error": ("one_of", "expected"),
    "enum": ("one_of", "expected"),
    "multiple_of": ("multiple", "multiple_of"),
    "string_too_long": ("too_long", "max_length"),
    "too_long": ("too_many", "max_length"),
}


@dataclass(frozen=True)
class Problem:
    """`field` is dotted ("hires.scale"), `found` what stood there as Python writes it, `why` a text to be shown."""

    field: str
    found: str
    why: UserError


def explain(error: ValidationError) -> Problem:
    """The first thing that is wrong; the rest is often its consequence."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return Problem(field, _found(first["input"]), _why(first))


def _found(given: Any) -> str:
    """As Python writes it; what holds more than one value is cut to its brackets, since `field` says which it is."""
    if isinstance(given, Mapping | BaseModel):
        return "{…}"
    if isinstance(given, list | tuple):
        return "[…]"
    return repr(given)[:80]


def _why(first: Any) -> UserError:
    kind, context = first["type"], first.get("ctx", {})
    if kind == SURROGATE:
        return UserError(_PREFIX + "surrogate", **context)
    if kind in _KEYS:
        return UserError(_PREFIX + _KEYS[kind])
    if kind in _WITH_BOUND:
        key, name = _WITH_BOUND[kind]
        expected = str(context[name]).replace(" or ", ", ").replace("'", "")
        return UserError(_PREFIX + key, bound=expected)
    raised = context.get("error")
    if isinstance(raised, UserError):
        return raised
    return UserError(f"{_PREFIX}other", what=str(raised or first["msg"]))
