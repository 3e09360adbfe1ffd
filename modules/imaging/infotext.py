"""The text that the Stable Diffusion world writes into pictures ("infotext", A1111's grammar), out and in.

    <prompt, any number of lines>
    Negative prompt: <negative prompt, any number of lines>
    Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512, Model: name

People read it, other programs parse it. It is ambiguous by nature (a prompt may contain a line that looks like
the last one), so the picture holds the request as JSON beside it: see `modules.imaging.metadata`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from modules.schema import GenerationRequest

NEGATIVE = "Negative prompt:"
MAX_CHARACTERS = 1_000_000
_LEAST_PARAMETERS = 3
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
    extras: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Infotext:
    """A text taken apart; `parameters` holds the last line's values as they stood, by their key."""

    prompt: str = ""
    negative_prompt: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def write(request: GenerationRequest, *, index: int, facts: PictureFacts) -> str:
    """The text for picture `index` (0-based) of a resolved request."""
    size = f"{request.width}x{request.height}" if request.width and request.height else None
    parameters: dict[str, object] = {
        "Steps": request.steps,
        "Sampler": facts.sampler or request.sampler,
        "Schedule type": facts.schedule or None,
        "CFG scale": None if request.cfg_scale is None else _number(request.cfg_scale),
        "Seed": request.seed_of(index) if request.seed >= 0 else None,
        "Size": size,
        "Model hash": facts.model_hash or None,
        "Model": facts.model or request.model,
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        **facts.extras,
        "Version": facts.version or None,
    }
    line = ", ".join(
        f"{key}: {_quote(value)}" for key, value in parameters.items() if value is not None
    )
    negative = f"{NEGATIVE} {request.negative_prompt}" if request.negative_prompt else ""
    return "\n".join(part for part in (request.prompt, negative, line) if part)


def read(text: str) -> Infotext:
    """Take a text apart, whoever wrote it. Takes time linear in its length; never raises.

    The last line holds parameters only when at least three can be read from it, as in A1111; otherwise it
    belongs to the prompt.
    """
    lines = text[:MAX_CHARACTERS].replace("\r\n", "\n").strip().split("\n")
    parameters = dict(_parameters(lines[-1]))
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


def to_request(text: str) -> tuple[GenerationRequest, tuple[str, ...]]:
    """The request that a text describes as far as it can be told, and the parameters that could not be used.

    Names of models and samplers are taken as they stand; whoever submits the request checks them.
    """
    info = read(text)
    request = GenerationRequest(prompt=info.prompt, negative_prompt=info.negative_prompt)
    unused: list[str] = []
    for key, value in info.parameters.items():
        fields = _fields(key, value)
        try:
            request = request.replace(**fields) if fields else request
        except ValidationError:
            fields = None
        if fields is None:
            unused.append(f"{key}: {value}")
    return request, tuple(unused)


_ONE_FIELD = {
    "Steps": "steps",
    "Sampler": "sampler",
    "Schedule type": "schedule",
    "CFG scale": "cfg_scale",
    "Seed": "seed",
    "Model": "model",
    "Clip skip": "clip_skip",
}
_SAYS_NOTHING = ("Version", "Model hash")


def _fields(key: str, value: str) -> dict[str, str] | None:
    if key in _ONE_FIELD:
        return {_ONE_FIELD[key]: value}
    if key == "Size":
        width, cross, height = value.partition("x")
        return {"width": width, "height": height} if cross else None
    return {} if key in _SAYS_NOTHING else None


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


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")
