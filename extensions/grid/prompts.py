"""Prompts from a list: each line is one, or says more in the words of the A1111 family: `--steps 20 --prompt "…"`."""

import shlex
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from modules.plugins import GenerationRequest, problem

_TEXT = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "sampler_name": "sampler",
    "sampler_index": "sampler",
    "sampler": "sampler",
    "scheduler": "schedule",
    "schedule": "schedule",
    "sd_model": "model",
    "model": "model",
    "vae": "vae",
}
_WHOLE = {
    "seed": "seed",
    "steps": "steps",
    "width": "width",
    "height": "height",
    "clip_skip": "clip_skip",
}
_NUMBER = {"cfg_scale": "cfg_scale"}
_VARIATION = {"subseed": "seed", "subseed_strength": "strength"}
_RESIZE = {"seed_resize_from_w": "width", "seed_resize_from_h": "height"}
_COUNT = ("batch_size", "n_iter")
_PASSED_OVER = (
    "do_not_save_samples",
    "do_not_save_grid",
    "outpath_samples",
    "outpath_grids",
    "prompt_for_display",
)
"""What says there where pictures go; here the outputs folder is one."""
_ON, _OFF = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def requests(
    request: GenerationRequest, text: str, most: int
) -> Iterator[tuple[str, GenerationRequest]]:
    """A label and a request for each picture of each line; empty lines and those that begin with # are passed over.

    Raises:
        UserError: names the line and what is wrong in it; or there is none, or there are too many.
    """
    count = 0
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        said, pictures = _said(number, words)
        count += pictures
        if count > most:
            raise problem(
                f"Line {number}: that is {count} pictures, and one grid has at most {most}.",
                f"第 {number} 行：已有 {count} 张图，而一个网格最多 {most} 张。",
            )
        made = _made(number, request, said)
        for again in range(pictures):
            yield made.prompt, further(made, again)
    if not count:
        raise problem("There is no prompt in the list.", "列表中没有提示词。")


def further(request: GenerationRequest, by: int) -> GenerationRequest:
    """The request with the seeds of its picture `by` (0-based); those that are still to be drawn stay so."""
    variation = request.variation
    if not by or request.seed < 0:
        return request
    if variation is not None:
        seed = request.variation_seed_of(by) if variation.seed >= 0 else variation.seed
        variation = variation.model_copy(update={"seed": seed})
    return request.replace(seed=request.seed_of(by), variation=variation)


def _said(number: int, line: str) -> tuple[dict[str, Any], int]:
    """The fields that a line sets, and for how many pictures; a line without `--` is a prompt as it stands."""
    if not line.startswith("--") and " --" not in line:
        return {"prompt": line}, 1
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise problem(
            f"Line {number}: {line[:60]!r} cannot be read ({error}). Close every quote.",
            f"第 {number} 行：无法读取 {line[:60]!r}（{error}）。请补全引号。",
        ) from error
    said: dict[str, Any] = {}
    loose: list[str] = []
    pictures = 1
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("--"):
            loose.append(word)
            continue
        name, equals, value = word[2:].replace("-", "_").partition("=")
        if equals:
            value = word.partition("=")[2]
        else:
            if at >= len(words):
                raise _unsaid(number, word)
            value = words[at]
            at += 1
        if name in _COUNT:
            pictures *= _count(number, word, value)
        else:
            _set(number, said, name, value)
    if loose:  # what stands by itself is the prompt
        said.setdefault("prompt", " ".join(loose))
    return said, pictures


def _set(number: int, said: dict[str, Any], name: str, value: str) -> None:
    if name in _PASSED_OVER:
        return
    if name in _TEXT:
        said[_TEXT[name]] = value
    elif name in _WHOLE:
        said[_WHOLE[name]] = _read(number, name, value, int)
    elif name in _NUMBER:
        said[_NUMBER[name]] = _read(number, name, value, float)
    elif name in _VARIATION:
        read = int if name == "subseed" else float
        said.setdefault("variation", {})[_VARIATION[name]] = _read(number, name, value, read)
    elif name in _RESIZE:
        said.setdefault("seed_resize", {})[_RESIZE[name]] = _read(number, name, value, int)
    elif name == "tiling":
        said["tiling"] = "both" if _switch(number, name, value) else "off"
    else:
        known = ", ".join([*_TEXT, *_WHOLE, *_NUMBER, *_VARIATION, *_RESIZE, "tiling", *_COUNT])
        raise problem(
            f"Line {number}: --{name[:60]} is not known here. There are: {known}.",
            f"第 {number} 行：不认识 --{name[:60]}。可用的有：{known}。",
        )


def _made(number: int, request: GenerationRequest, said: dict[str, Any]) -> GenerationRequest:
    try:
        return request.replace(**said)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        found = str(first["input"])[:80]
        raise problem(
            f"Line {number}: {field} cannot be {found!r}. Choose another value.",
            f"第 {number} 行：{field} 不能是 {found!r}。请换一个值。",
        ) from error


def _read(number: int, name: str, value: str, kind: type[int] | type[float]) -> int | float:
    try:
        return kind(value)
    except ValueError as error:
        raise problem(
            f"Line {number}: --{name} {value[:60]!r} is no number.",
            f"第 {number} 行：--{name} 的 {value[:60]!r} 不是数字。",
        ) from error


def _switch(number: int, name: str, value: str) -> bool:
    if value.lower() not in _ON + _OFF:
        raise problem(
            f"Line {number}: --{name} {value[:60]!r} is neither true nor false.",
            f"第 {number} 行：--{name} 的 {value[:60]!r} 既不是 true 也不是 false。",
        )
    return value.lower() in _ON


def _count(number: int, word: str, value: str) -> int:
    found = int(_read(number, word.lstrip("-").partition("=")[0], value, int))
    if not 1 <= found <= 10_000:
        raise problem(
            f"Line {number}: {word} {found} is not a number of pictures.",
            f"第 {number} 行：{word} {found} 不是图片数量。",
        )
    return found


def _unsaid(number: int, word: str) -> Exception:
    return problem(
        f"Line {number}: {word[:60]} stands without a value.",
        f"第 {number} 行：{word[:60]} 后面缺少值。",
    )
