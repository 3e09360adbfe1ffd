"""The text that the Stable Diffusion world writes into pictures ("infotext", A1111's grammar), out and in.

    <prompt, any number of lines>
    Negative prompt: <negative prompt, any number of lines>
    Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512, Model: name

People read it, other programs parse it. It is ambiguous by nature (a prompt may contain a line that looks like
the last one), so the picture holds the request as JSON beside it: see `modules.imaging.metadata`.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from modules.errors import UserError
from modules.imaging.parameters import Understood, understood, written
from modules.schema import GenerationRequest
from modules.schema.received import broken_text

NEGATIVE = "Negative prompt:"
MAX_CHARACTERS = 1_000_000
_LEAST_PARAMETERS, _MOST_PARAMETERS = 3, 2000
_KEY = re.compile(r"\w[\w \-/]+", re.ASCII)
_QUOTED = re.compile(r'"(?:\\.|[^\\"])*+"')
_NEEDS_QUOTES = (",", ":", "\n", "\r", '"')


@dataclass(frozen=True)
class PictureFacts:
    """What the text says beside the request: the names people know, and what was found out on the way."""

    model: str = ""
    model_hash: str = ""
    sampler: str = ""
    schedule: str = ""
    version: str = ""
    vae_hash: str = ""
    hires_sampler: str = ""
    hires_schedule: str = ""
    extras: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Infotext:
    """A text taken apart; `parameters` holds the last line's values as they stood, by their key."""

    prompt: str = ""
    negative_prompt: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def write(request: GenerationRequest, *, index: int, facts: PictureFacts) -> str:
    """The text for picture `index` (0-based) of a resolved request."""
    parameters = {**written(request, index, facts), **facts.extras}
    if facts.version:
        parameters["Version"] = facts.version
    line = ", ".join(
        f"{key}: {_quote(value)}" for key, value in parameters.items() if value is not None
    )
    negative = f"{NEGATIVE} {request.negative_prompt}" if request.negative_prompt else ""
    return "\n".join(part for part in (request.prompt, negative, line) if part)


def extended(text: str, more: Mapping[str, object]) -> str:
    """A text with more parameters at its end; those that it has already stay, and who reads it takes the last."""
    line = ", ".join(f"{key}: {_quote(value)}" for key, value in more.items())
    text = text.replace("\r\n", "\n").strip()
    if not text or not line:
        return text or line
    return f"{text}, {line}" if read(text).parameters else f"{text}\n{line}"


def read(text: str) -> Infotext:
    """Take a text apart, whoever wrote it. Takes time linear in its length; never raises.

    The last line holds parameters only when at least three can be read from it, as in A1111; otherwise it
    belongs to the prompt.
    """
    lines = text[:MAX_CHARACTERS].replace("\r\n", "\n").strip().split("\n")
    # A hundred thousand fit into the characters that are read, and each is looked at many times afterwards.
    parameters = dict(islice(_parameters(lines[-1]), _MOST_PARAMETERS))
    if len(parameters) < _LEAST_PARAMETERS:
        parameters = {}
    else:
        lines.pop()
    prompt: list[str] = []
    negative: list[str] = []
    into = prompt
    for line in lines:
        if line.startswith(NEGATIVE) and into is prompt:
            into = negative
            line = line.removeprefix(NEGATIVE).removeprefix(" ")
        into.append(line)
    return Infotext("\n".join(prompt).strip(), "\n".join(negative).strip(), parameters)


def _readable(text: str) -> Infotext:
    wrong = broken_text(text)
    if wrong is not None:
        raise UserError("error.infotext", why=wrong)
    return read(text)


Reader = Callable[[Mapping[str, str]], tuple[Mapping[str, Mapping[str, Any]], Collection[str]]]
"""Options of extensions, by extension and name, that parameters mean, and the keys of those that were used."""


def to_request(
    text: str, extensions: Reader | None = None
) -> tuple[GenerationRequest, tuple[str, ...]]:
    """The request that a text describes as far as it can be told, and the parameters that could not be used.

    Names of models and samplers are taken as they stand; whoever submits the request checks them. Settings of
    img2img need the picture's id to make a request: without it they are among the unused; see `to_fields`.

    `extensions` is offered the parameters that are no field.

    Raises:
        UserError: it holds half a character, as only a text that somebody pastes can.
    """
    info = _readable(text)
    found = _understood(info, extensions)
    left_out = found.incomplete()
    fields = {name: value for name, value in found.fields.items() if name not in left_out}
    request = GenerationRequest.model_validate(
        {"prompt": info.prompt, "negative_prompt": info.negative_prompt, **fields}
    )
    dropped = [(key, value) for key, value, path in found.used if path[0] in left_out]
    return request, _lines([*found.unused, *dropped])


def to_fields(
    text: str, extensions: Reader | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fields of a request by name, groups as mappings in it, and the parameters that could not be used.

    A group may lack what it needs to be one (`img2img` its picture): enough to fill a form, and each value is valid.

    Raises:
        UserError: as `to_request`.
    """
    info = _readable(text)
    found = _understood(info, extensions)
    fields = {"prompt": info.prompt, "negative_prompt": info.negative_prompt, **found.fields}
    return fields, _lines(found.unused)


def _understood(info: Infotext, extensions: Reader | None) -> Understood:
    found = understood(info.parameters)
    if extensions is not None and found.unused:
        extras, used = extensions(dict(found.unused))
        found.unused = [(key, value) for key, value in found.unused if key not in used]
        if extras:
            found.fields["extras"] = {name: dict(options) for name, options in extras.items()}
    return found


def _lines(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{key}: {value}" for key, value in pairs)


def _parameters(line: str) -> Iterator[tuple[str, str]]:
    """`Key: value` pairs of one line; a value is JSON text in quotes, or goes up to the next comma."""
    at, colon = 0, -1
    while at < len(line):
        if colon < at:  # looked for once per colon, not per comma: that would be quadratic
            colon = line.find(":", at)
            if colon < 0:
                return
        comma = line.find(",", at)
        if 0 <= comma < colon:
            at = comma + 1
            continue
        key = line[at:colon].strip()
        at = colon + 1
        while at < len(line) and line[at] == " ":
            at += 1
        quoted = _QUOTED.match(line, at) if line.startswith('"', at) else None
        if quoted:
            value = _unquote(quoted.group(0))
            at = quoted.end()
            comma = line.find(",", at)
        else:
            comma = line.find(",", at)
            value = line[at : comma if comma >= 0 else len(line)].strip()
        at = comma + 1 if comma >= 0 else len(line)
        if _KEY.fullmatch(key):
            yield key, value


def _quote(value: object) -> str:
    text = str(value)
    if text.strip() != text or not text or any(mark in text for mark in _NEEDS_QUOTES):
        return json.dumps(text, ensure_ascii=False)
    return text


def _unquote(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text[1:-1]
    return value if isinstance(value, str) else text
