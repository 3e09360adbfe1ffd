"""From what the page's controls hold to a `GenerationRequest`, by name and never by position."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from modules.errors import UserError
from modules.schema import GenerationRequest

EXTENSION_MARK = "__"
"""`freeu__scale` is the option `scale` of the extension `freeu`."""

_WHOLE = frozenset({"width", "height", "steps", "seed", "batch_size", "batch_count", "clip_skip"})


def field_name(extension: str, option: str) -> str:
    """The name under which an extension's option travels in a Gradio event and in its HTTP API."""
    return f"{extension}{EXTENSION_MARK}{option}"


def to_request(values: Mapping[str, Any]) -> GenerationRequest:
    """Make the request; an empty control means "what the model's card says".

    Raises:
        UserError: names the field and what was found in it.
    """
    own: dict[str, Any] = {}
    extras: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        extension, mark, option = name.partition(EXTENSION_MARK)
        if mark:
            extras.setdefault(extension, {})[option] = value
        elif value is not None and value != "":
            own[name] = _number(name, value)
    try:
        return GenerationRequest.model_validate({**own, "extras": _enabled(extras)})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            "error.field", field=field, found=repr(first["input"])[:80], why=first["msg"]
        ) from error


def from_request(request: GenerationRequest) -> dict[str, Any]:
    """The inverse: what each control has to show for `request`; names as in `to_request`."""
    values = request.model_dump(exclude={"extras"})
    for extension, options in request.extras.items():
        values |= {field_name(extension, option): value for option, value in options.items()}
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
