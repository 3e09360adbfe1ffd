r"""The notation for emphasis in prompts: from text to segments of text, each with a weight.

    (a)  1.1     [a]  1/1.1     (a:1.5)  1.5     nested brackets multiply     \( \[ \\ \: \| \<  the sign itself; a lone \ disappears
    BREAK  the rest begins a new chunk of tokens, at any depth of brackets

A bracket that is never closed lasts to the end of the text, and one that was never opened is text. Only a number
right before the closing round bracket is a weight; `(a:b)` and `(a:1.5.5)` are text at 1.1. A backslash before any
other sign is gone, as everywhere in the field.

Time is linear in the length of the text. Brackets deeper than `MAX_DEPTH` are text.
"""

import re
from dataclasses import dataclass
from typing import Literal

Emphasis = Literal["original", "no_norm", "ignore", "none"]

MAX_DEPTH = 64
MAX_WEIGHT = 10.0
MAX_NUMBER = 1e4  # to the power of MAX_DEPTH it is still finite
ROUND = 1.1
SQUARE = 1 / 1.1

# Possessive quantifiers: no way back, so no text takes more than one pass.
_SIGNS = re.compile(
    r"""
    \\(?P<escaped>[\\()\[\]:|<]?+)
    | (?P<open>[(\[])
    | (?P<weighted>:\s*+(?P<number>[+-]?[.0-9]++)\s*+\))
    | (?P<close>[)\]])
    | (?P<break>\bBREAK\b)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the prompt with one weight; `starts_chunk` where BREAK stood before it."""

    text: str
    weight: float = 1.0
    starts_chunk: bool = False


def parse(text: str, emphasis: Emphasis = "original") -> tuple[Segment, ...]:
    """The segments of a prompt, in order; neighbours of equal weight are one. Any text can be parsed.

    Weights are finite and at most `MAX_WEIGHT` on either side of zero; zero and below are allowed.

    Args:
        emphasis: "ignore" reads the notation and takes every weight for 1; "none" takes it for text, BREAK too.
    """
    if emphasis == "none":
        return (Segment(text),) if text else ()
    scan = _Scan(weighted=emphasis != "ignore")
    at = 0
    for match in _SIGNS.finditer(text):
        scan.text(text[at : match.start()])
        scan.sign(match)
        at = match.end()
    scan.text(text[at:])
    return scan.finish()


@dataclass(slots=True)
class _Open:
    kind: str
    factor: float  # that of a bracket without an end, until the end is found


@dataclass(slots=True)
class _Close:
    kind: str


class _Scan:
    """The state of one pass. Round and square brackets are kept apart: `(a [b) c]` closes both where it says so.

    What a bracket multiplies by is known at its end only, so the pass notes what happens, and `finish` multiplies.
    """

    def __init__(self, *, weighted: bool = True) -> None:
        self._weighted = weighted
        self._events: list[Segment | _Open | _Close] = []
        self._open: dict[str, list[_Open]] = {"(": [], "[": []}
        self._too_deep = {"(": 0, "[": 0}
        self._pending: list[str] = []
        self._starts_chunk = False

    def text(self, text: str) -> None:
        """Text as it stands."""
        if self._starts_chunk and not self._pending:
            text = text.lstrip()  # space around BREAK belongs to it
        if text:
            self._pending.append(text)

    def sign(self, match: re.Match[str]) -> None:
        """One of the signs of the notation."""
        found = match.group()
        if match["escaped"] is not None:  # a lone backslash escapes nothing, and is gone
            self.text(match["escaped"])
        elif match["break"]:
            self._end_segment(before_break=True)
            self._starts_chunk = True
        elif match["open"]:
            self._opened(found)
        elif match["weighted"]:
            self._closed("(", found, _number(match["number"]))
        else:
            self._closed("(" if found == ")" else "[", found, ROUND if found == ")" else SQUARE)

    def finish(self) -> tuple[Segment, ...]:
        """Multiply what brackets enclose, and merge neighbours of equal weight."""
        self._end_segment()
        products = {"(": [1.0], "[": [1.0]}  # of the open brackets, from the outermost inwards
        merged: list[tuple[list[str], float, bool]] = []
        for event in self._events:
            if isinstance(event, _Open):
                products[event.kind].append(products[event.kind][-1] * event.factor)
            elif isinstance(event, _Close):
                products[event.kind].pop()
            else:
                product = products["("][-1] * products["["][-1]
                weight = max(-MAX_WEIGHT, min(MAX_WEIGHT, product)) if self._weighted else 1.0
                if merged and not event.starts_chunk and merged[-1][1] == weight:
                    merged[-1][0].append(event.text)
                else:
                    merged.append(([event.text], weight, event.starts_chunk))
        return tuple(Segment("".join(texts), weight, starts) for texts, weight, starts in merged)

    def _opened(self, kind: str) -> None:
        if len(self._open["("]) + len(self._open["["]) >= MAX_DEPTH:
            self._too_deep[kind] += 1
            self.text(kind)
            return
        self._end_segment()
        bracket = _Open(kind, ROUND if kind == "(" else SQUARE)
        self._open[kind].append(bracket)
        self._events.append(bracket)

    def _closed(self, kind: str, found: str, factor: float | None) -> None:
        if self._too_deep[kind]:
            self._too_deep[kind] -= 1
            self.text(found)
        elif not self._open[kind]:
            self.text(found)
        elif (
            factor is None
        ):  # not a number after all: the bracket closes, what stands before it is text
            self.text(found[:-1])
            self._closed(kind, ")", ROUND)
        else:
            self._end_segment()
            self._open[kind].pop().factor = factor
            self._events.append(_Close(kind))

    def _end_segment(self, *, before_break: bool = False) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        if before_break:
            text = text.rstrip()
        # Two BREAKs in a row leave an empty chunk between them.
        if text or (self._starts_chunk and before_break):
            self._events.append(Segment(text, 1.0, self._starts_chunk))
            self._starts_chunk = False


def _number(text: str) -> float | None:
    try:
        return max(-MAX_NUMBER, min(MAX_NUMBER, float(text)))
    except ValueError:
        return None
