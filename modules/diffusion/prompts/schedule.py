r"""Prompts that change on the way: `[from:to:when]`, `[to:when]`, `[from::when]` and `[a|b|c]`.

    [cat:dog:0.5]  a cat for the first half of the steps, then a dog       [cat:dog:7]  for the first 7 steps
    [dog:0.5]      nothing, then a dog                                     [cat::0.5]   a cat, then nothing
    [cat|dog]      a cat at the first step, a dog at the second, a cat at the third …

A number with a dot is a share of the steps, one without is a step. In the second pass of hires fix shares lie from
1.0 to 2.0 and steps are counted on from the first pass: `[a:b:1.5]` changes half way through it, `[a:b:25]` after
20 steps of the first pass and 5 of the second; what changed in the first pass stays changed.

What stands in round brackets is one piece; the forms nest. Any other bracket is left as it is, for emphasis, and so
are `[a:b:c:2]`, `[a|b:3]` and brackets deeper than `MAX_DEPTH`. `\[`, `\]`, `\:` and `\|` are text. Where there is
no second pass, `[dog:1.1]` would only make the dog vanish, and who writes it means something else: it is left too.

Time is linear in the length of the text, times the number of different texts that come out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Union

MAX_DEPTH = 64
MAX_NUMBER = 1e9

_SIGNS = re.compile(r"\\.|[\[\]()|:]", re.DOTALL)
_NUMBER = re.compile(r"\s*+([+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++))\s*+")
_OPENING = {")": "(", "]": "["}


@dataclass(frozen=True)
class Pass:
    """Which of a generation's runs of the sampler a prompt is read for."""

    steps: int
    first_pass_steps: int | None = None
    """In the second pass of hires fix: how many steps the first one had. None in the first."""
    hires_follows: bool = False
    """In the first pass: there will be a second."""

    def last_step(self, number: str) -> int:
        """The last step (from 1) before a change at `number`; 0 or less where it has changed from the start."""
        value = max(-MAX_NUMBER, min(MAX_NUMBER, float(number)))
        if "." in number:
            value = (value - (self.first_pass_steps is not None)) * self.steps
        else:
            value -= self.first_pass_steps or 0
        return min(self.steps, int(value))

    def never_comes(self, number: str) -> bool:
        """A share of a second pass that there is not."""
        alone = self.first_pass_steps is None and not self.hires_follows
        return alone and "." in number and float(number) >= 1


@dataclass(frozen=True, slots=True)
class Until:
    """The text of all steps up to `last_step` (from 1) that no earlier one holds for."""

    last_step: int
    text: str


def schedule(text: str, run: Pass) -> tuple[Until, ...]:
    """What the prompt says at each step; the last entry ends at `run.steps`, and neighbours differ."""
    nodes = _Reader(text, run).read()
    ends = {run.steps}
    for node in _forms(nodes):
        if isinstance(node, _Alternating):
            ends.update(range(1, run.steps))
        elif node.last_step >= 1:
            ends.add(node.last_step)
    found: list[Until] = []
    for step in sorted(ends):
        said = "".join(_said(nodes, step))
        if found and found[-1].text == said:
            found.pop()
        found.append(Until(step, said))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Changing:
    before: "_Nodes"
    after: "_Nodes"
    last_step: int


@dataclass(frozen=True, slots=True)
class _Alternating:
    options: tuple["_Nodes", ...]


_Node = Union[str, _Changing, _Alternating]  # noqa: UP007 - names that come later
_Nodes = list[_Node]


def _forms(nodes: _Nodes) -> Iterator[_Changing | _Alternating]:
    for node in nodes:
        if isinstance(node, str):
            continue
        yield node
        inner = (node.before, node.after) if isinstance(node, _Changing) else node.options
        for part in inner:
            yield from _forms(part)


def _said(nodes: _Nodes, step: int) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, _Changing):
            yield from _said(node.before if step <= node.last_step else node.after, step)
        else:
            yield from _said(node.options[(step - 1) % len(node.options)], step)


@dataclass(slots=True)
class _Field:
    """What stands between two separators: as written, and as read."""

    start: int
    end: int
    nodes: _Nodes


class _Reader:
    """Pairs the brackets of a text first, so that each part is then read once, from outside inwards."""

    def __init__(self, text: str, run: Pass) -> None:
        self._text = text
        self._run = run
        found = ((match.start(), match.group()) for match in _SIGNS.finditer(text))
        self._signs = [(place, sign) for place, sign in found if len(sign) == 1]
        self._closing = _pairs([sign for _, sign in self._signs])

    def read(self) -> _Nodes:
        fields, separators = self._fields(0, len(self._text), 0, len(self._signs))
        return _joined(fields, separators)

    def _fields(self, start: int, end: int, first: int, last: int) -> tuple[list[_Field], str]:
        """The text from `start` to `end`, which has the signs `first` to before `last`, cut at its own separators."""
        fields = [_Field(start, end, [])]
        separators: list[str] = []
        done = start
        index = first
        while index < last:
            place, sign = self._signs[index]
            if sign in ":|":
                fields[-1].nodes.append(self._text[done:place])
                fields[-1].end = place
                fields.append(_Field(place + 1, end, []))
                separators.append(sign)
                done = place + 1
            elif index in self._closing:
                closing = self._closing[index]
                fields[-1].nodes.append(self._text[done:place])
                fields[-1].nodes.extend(self._bracket(index, closing))
                done = self._signs[closing][0] + 1
                index = closing
            index += 1
        fields[-1].nodes.append(self._text[done:end])
        return fields, "".join(separators)

    def _bracket(self, opening: int, closing: int) -> _Nodes:
        start, sign = self._signs[opening]
        end, closing_sign = self._signs[closing]
        fields, separators = self._fields(start + 1, end, opening + 1, closing)
        form = self._form(fields, separators) if sign == "[" else None
        if form is not None:
            return [form]
        return [sign, *_joined(fields, separators), closing_sign]

    def _form(self, fields: Sequence[_Field], separators: str) -> _Changing | _Alternating | None:
        if separators and not separators.strip("|"):
            return _Alternating(tuple(field.nodes for field in fields))
        if separators not in (":", "::"):
            return None
        number = _NUMBER.fullmatch(self._text, fields[-1].start, fields[-1].end)
        if number is None:
            return None
        if separators == ":" and self._run.never_comes(number[1]):
            return None
        before = fields[0].nodes if separators == "::" else []
        return _Changing(before, fields[-2].nodes, self._run.last_step(number[1]))


def _joined(fields: Sequence[_Field], separators: str) -> _Nodes:
    nodes = list(fields[0].nodes)
    for separator, field in zip(separators, fields[1:], strict=True):
        nodes.append(separator)
        nodes.extend(field.nodes)
    return nodes


def _pairs(signs: Sequence[str]) -> dict[int, int]:
    """Opening to closing bracket. A bracket that is closed leaves those open inside it without an end."""
    pairs: dict[int, int] = {}
    waiting: list[int] = []
    open_now = {"(": 0, "[": 0}
    too_deep = {"(": 0, "[": 0}
    for index, sign in enumerate(signs):
        if sign in open_now:
            if len(waiting) >= MAX_DEPTH:
                too_deep[sign] += 1
            else:
                waiting.append(index)
                open_now[sign] += 1
        elif sign in _OPENING:
            kind = _OPENING[sign]
            if too_deep[kind]:
                too_deep[kind] -= 1
                continue
            while open_now[kind]:
                opened = waiting.pop()
                open_now[signs[opened]] -= 1
                if signs[opened] == kind:
                    pairs[opened] = index
                    break
    return pairs
