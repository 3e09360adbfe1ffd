"""From names with amounts and a person's words to the words that are run."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modules.plugins import problem

from .presets import Preset

MOST = 20
"""Presets at once."""
HERE = "{prompt}"

_AMOUNT = re.compile(r"(.*?)\s*:\s*(\d{1,2}(?:\.\d{1,3})?)\s*", re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_LORA = re.compile(r"<(lora|blend):([^:<>]+)(?::([^:<>]*))?([^<>]*)>")


@dataclass(frozen=True)
class Chosen:
    """A preset by name, and how much of it: 1 is as it stands, 0 nothing, at the most 2."""

    name: str
    amount: float = 1.0


def parse(names: str) -> tuple[Chosen, ...]:
    """`"Oil painting:0.8, Anime"`.

    Raises:
        UserError: an amount beyond 0 to 2, or too many names.
    """
    found = []
    for part in names.split(","):
        text = part.strip()
        if not text:
            continue
        match = _AMOUNT.fullmatch(text)
        name, amount = (match[1], float(match[2])) if match else (text, 1.0)
        if not 0 <= amount <= 2:
            raise problem(
                f"The amount of {name!r} is {amount:g}; it goes from 0 to 2.",
                f"{name!r} 的强度为 {amount:g}；范围为 0 到 2。",
            )
        found.append(Chosen(name, amount))
    if len(found) > MOST:
        raise problem(
            f"{len(found)} presets at once are too many; {MOST} are allowed.",
            f"同时使用 {len(found)} 个预设过多；最多 {MOST} 个。",
        )
    return tuple(found)


def spell(chosen: Sequence[Chosen]) -> str:
    """The inverse of `parse`."""
    return ", ".join(c.name if c.amount == 1 else f"{c.name}:{c.amount:g}" for c in chosen)


def woven(
    prompt: str, negative: str, chosen: Sequence[Chosen], get: Callable[[str], Preset]
) -> tuple[str, str]:
    """The prompt and the negative prompt with the presets around them, the first innermost.

    Raises:
        UserError: a name that does not exist.
    """
    for each in chosen:
        preset = get(each.name)
        if each.amount == 0:
            continue
        prompt = _wrap(prompt, preset.prompt, each.amount)
        negative = _wrap(negative, preset.negative, each.amount)
    return prompt, negative


def _wrap(words: str, template: str, amount: float) -> str:
    if not template.strip():
        return words
    if HERE not in template:
        return _join(words.strip(), _weighted(template, amount))
    before, after = (_weighted(side, amount) for side in template.split(HERE, 1))
    after = after.replace(HERE, words)
    if amount == 1:  # as it stands, but for a prompt that is empty
        whole = template.replace(HERE, words)
        return whole if words.strip() else re.sub(r"\s+(?=,)|^[\s,]+", "", whole)
    return _join(_join(before, words.strip()), after)


def _join(first: str, second: str) -> str:
    joint = " " if second.startswith("<") else ", "
    return joint.join(part for part in (first, second) if part)


def _weighted(words: str, amount: float) -> str:
    """The words in parentheses with a weight; tags stay outside, those of LoRAs with their weight times the amount."""
    tags = [_scaled(tag, amount) for tag in _TAG.findall(words)]
    plain = _TAG.sub("", words).strip(" ,\n\t")
    if plain and amount != 1:
        plain = f"({plain}:{amount:g})"
    return " ".join(part for part in (plain, *tags) if part)


def _scaled(tag: str, amount: float) -> str:
    found = _LORA.fullmatch(tag)
    if not found or amount == 1:
        return tag
    kind, name, weight, rest = found.groups()
    try:
        value = float(weight) if weight else 1.0
    except ValueError:  # by name, such as unet=0.8: left to its reader
        return tag
    return f"<{kind}:{name}:{value * amount:g}{rest}>"
