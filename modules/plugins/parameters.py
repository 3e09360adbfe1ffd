"""What extensions make of a text's parameters that the program itself does not know.

Simple options stand in a picture's text under `extension option` (`freeu b1: 1.2`) and are read by that alone; for
everything else there is the hook `read_parameters`.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from pydantic import ValidationError

from modules.errors import UserError
from modules.plugins.blame import broke_promise, failed
from modules.plugins.options import Options

LONGEST = 20_000
"""Characters of an option in the text; what is longer stays in the picture's JSON alone."""
_HOOK = "read_parameters"
_NO_KEY = re.compile(r"[^\w \-/]")


@dataclass(frozen=True)
class Said:
    """Options of one extension by name, and the keys that say so."""

    options: dict[str, Any] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)


def key_of(extension: str, option: str) -> str:
    """The key under which an option stands in the text."""
    return _NO_KEY.sub(" ", f"{extension} {option}").replace("_", " ")


def flat(extras: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    """Options as parameters of the text: `lora weight: 0.8`; what is no plain value stays in the JSON."""
    return {
        key_of(extension, name): value
        for extension, options in extras.items()
        for name, value in options.items()
        if isinstance(value, str | int | float) and name != "enabled" and len(str(value)) <= LONGEST
    }


def unflattened(
    parameters: Mapping[str, str], classes: Mapping[str, type[Options]]
) -> dict[str, Said]:
    """The inverse of `flat`, by extension; each option is valid. A key that could be of two extensions is nobody's."""
    places: dict[str, list[tuple[str, str]]] = {}
    for extension, options in classes.items():
        for name in options.model_fields:
            places.setdefault(key_of(extension, name), []).append((extension, name))
    found: dict[str, Said] = {}
    for key, text in parameters.items():
        if len(places.get(key, ())) != 1:
            continue
        ((extension, name),) = places[key]
        for value in _meanings(text):
            if (
                name != "enabled"
                and _valid(extension, classes[extension], {name: value}) is not None
            ):
                said = found.setdefault(extension, Said())
                said.options[name] = value
                said.keys.add(key)
                break
    return found


def whole(extension: str, options: type[Options], own: Said, simple: Said) -> Said:
    """Both together, complete and valid; simple options hold where both say something. What is not valid is left out.

    Raises:
        ExtensionError: the options' own check failed otherwise than by refusing.
    """
    if own.options and _valid(extension, options, own.options) is None:
        own = Said()
    values = {**own.options, **simple.options}
    if not values:
        return Said(keys=own.keys)
    complete = _valid(extension, options, values)
    return Said() if complete is None else Said(complete, own.keys | simple.keys)


def _valid(
    extension: str, options: type[Options], values: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The options, switched on and complete, as plain JSON; None where a value is not allowed."""
    try:
        return options.model_validate({"enabled": True, **values}).model_dump(mode="json")
    except (ValidationError, UserError):
        return None
    except Exception as error:  # validators are the extension's code: its name is blamed
        raise failed(extension, error) from error


def answered(extension: str, said: object, offered: Mapping[str, str]) -> Said:
    """What a hook has answered, checked.

    Raises:
        ExtensionError: it is neither None nor a pair of both, or names a key that was not offered.
    """
    match said:
        case None:
            return Said()
        case (Mapping() as options, keys) if _names(list(options)) and _names(keys):
            wrong = sorted(set(keys) - offered.keys())
            if not wrong:
                return Said(dict(options), set(keys))
            wanted, found = "keys that were offered", wrong[0][:80]
        case _:
            wanted = "tuple[Mapping[str, object], Collection[str]] | None"
            found = type(said).__name__
    raise broke_promise(extension, _HOOK, "type", wanted=wanted, found=found)


def _names(keys: object) -> TypeGuard[Collection[str]]:
    return (
        isinstance(keys, Collection)
        and not isinstance(keys, str)
        and all(isinstance(key, str) for key in keys)
    )


def _meanings(text: str) -> list[Any]:
    """The text itself, and what it says as JSON: a choice may be a number."""
    try:
        return [text, json.loads(text)]
    except (ValueError, RecursionError):
        return [text]
