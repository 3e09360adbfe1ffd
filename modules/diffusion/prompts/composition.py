"""Composing pictures from several prompts: `a cat AND a dog:0.5` (Liu et al., arXiv 2206.01714).

The denoiser is asked for each part, and their pulls away from the negative prompt are added, times their weights.
"""

import re
from dataclasses import dataclass

MAX_WEIGHT = 10.0

_AND = re.compile(r"\bAND\b")
_NUMBER = re.compile(r"\s*+[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)\s*+")


@dataclass(frozen=True, slots=True)
class Part:
    """One sub-prompt."""

    text: str
    weight: float = 1.0


def split(text: str) -> tuple[Part, ...]:
    r"""The parts between the words AND, at least one; an empty part is an empty prompt of weight 1.

    A number after a part's last colon is its weight, at most `MAX_WEIGHT` on either side of zero. It is one only
    where AND is: `ratio 16:9` alone is a text. `\:` is never a weight's colon.
    """
    parts = _AND.split(text)
    if len(parts) == 1:
        return (Part(text),)
    return tuple(_part(part) for part in parts)


def _part(text: str) -> Part:
    before, colon, number = text.rpartition(":")
    escaped = (len(before) - len(before.rstrip("\\"))) % 2
    if not colon or escaped or not _NUMBER.fullmatch(number):
        return Part(text.strip())
    return Part(before.strip(), max(-MAX_WEIGHT, min(MAX_WEIGHT, float(number))))
