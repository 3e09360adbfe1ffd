"""The language: `{a|b}`, `{2$$a|b|c}`, `{2::a|b}`, `__list__`. Parsed in one pass, drawn by a generator of random numbers.

    text    = (literal | choice | list)*
    choice  = "{" [count "$$" [joint "$$"]] option ("|" option)* "}"
    count   = n | n "-" m | n "-" | "-" m         so many options, each at the most once; ", " is between them
    option  = [weight "::"] text
    list    = "__" name "__"                      a line of that list; * stands for any part of a name

A backslash takes the meaning from what follows it and stays, for the prompt language reads it too. Inside `[…]` a `|`
is the prompt's own alternation, inside `<…>` an underscore is part of a name.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from modules.plugins import problem

MOST_DEPTH = 20
"""Choices within choices and lists within lists."""
MOST_TEXT = 32_768
"""Characters of what comes out, as long as a prompt may be."""
MOST_DRAWN = 5_000
"""Draws for one text."""

_LIST = re.compile(r"__((?:(?!__)[\w.*/-]){1,260})__")
_HEAD = re.compile(r"\s*(?:(\d{1,4})?\s*(-)?\s*(\d{1,4})?)\s*\$\$")
_WEIGHT = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)::")


@dataclass(frozen=True)
class ListName:
    """`__name__`"""

    name: str


@dataclass(frozen=True)
class Option:
    """One of a choice, or a line of a list."""

    weight: float
    text: "Text"


@dataclass(frozen=True)
class Choice:
    """`{…}`"""

    least: int
    most: int
    joint: "Text"
    options: tuple[Option, ...]


Piece = str | ListName | Choice
Text = tuple[Piece, ...]
Lines = Callable[[str], Sequence[Option]]
"""The lines of a list by its name; a UserError where there is none."""


def has_choices(text: str) -> bool:
    """Whether there may be something to draw."""
    return "{" in text or "__" in text


def parse(text: str) -> Text:
    """The parts of a text.

    Raises:
        UserError: a `{` that is not closed, a `}` without one, or choices nested too deep.
    """
    pieces, end = _Parser(text).text(0, 0)
    if end < len(text):
        raise problem(
            f"The }} at character {end + 1} closes nothing. Write \\}} if it is meant as such.",
            f"第 {end + 1} 个字符的 }} 没有对应的 {{。若要原样使用，请写作 \\}}。",
        )
    return pieces


def line_of(text: str) -> Option:
    """A line of a list: a weight may stand before it."""
    weight, rest = _weight(text)
    return Option(weight, parse(rest))


def draw(text: Text, random: Random, lines: Lines) -> str:
    """One of the texts that it stands for; the same for the same state of `random`.

    Raises:
        UserError: a list that is not there or comes to itself again, or what comes out is too long.
    """
    return _Draw(random, lines).text(text, ())


def _weight(text: str) -> tuple[float, str]:
    found = _WEIGHT.match(text)
    return (float(found[1]), text[found.end() :]) if found else (1.0, text)


@dataclass
class _Parser:
    source: str

    def text(self, at: int, depth: int) -> tuple[Text, int]:
        """From `at` to the end, or to the `|` or `}` that ends it in a choice; its parts, and where it ends."""
        source, plain = self.source, at
        pieces: list[Piece] = []
        square = angle = 0

        def keep(end: int) -> None:
            if end > plain:
                pieces.append(source[plain:end])

        while at < len(source):
            sign = source[at]
            if sign == "\\":
                at += 2
                continue
            if sign == "}" or (sign == "|" and depth and not square):
                break
            square = max(0, square + (sign == "[") - (sign == "]"))
            angle = max(0, angle + (sign == "<") - (sign == ">"))
            found = _LIST.match(source, at) if sign == "_" and not angle else None
            if found:
                keep(at)
                pieces.append(ListName(found[1]))
                at = plain = found.end()
            elif sign == "{":
                keep(at)
                piece, at = self.choice(at, depth + 1)
                pieces.append(piece)
                plain = at
            else:
                at += 1
        at = min(at, len(source))
        keep(at)
        return tuple(pieces), at

    def choice(self, start: int, depth: int) -> tuple[Choice, int]:
        if depth > MOST_DEPTH:
            raise problem(
                f"Choices are nested more than {MOST_DEPTH} deep.",
                f"选择的嵌套超过 {MOST_DEPTH} 层。",
            )
        at, least, most = start + 1, 1, 1
        joint: Text = (", ",)
        head = _HEAD.match(self.source, at)
        if head:
            least, most = _count(head)
            at = head.end()
            end = self._joint_end(at)
            if end is not None:
                joint, at = (self.source[at:end],), end + 2
        options = []
        while True:
            weight = _WEIGHT.match(self.source, at)
            if weight:
                at = weight.end()
            pieces, at = self.text(at, depth)
            options.append(Option(float(weight[1]) if weight else 1.0, pieces))
            if at >= len(self.source):
                shown = self.source[start : start + 30]
                raise problem(
                    f"The {{ at character {start + 1} ({shown!r}) is not closed. "
                    "Put a } after it, or write \\{ if it is meant as such.",
                    f"第 {start + 1} 个字符的 {{（{shown!r}）没有闭合。请补上 }}；若要原样使用，请写作 \\{{。",
                )
            at += 1
            if self.source[at - 1] == "}":
                return Choice(least, most, joint, tuple(options)), at

    def _joint_end(self, at: int) -> int | None:
        """Where the text between drawn options ends, if there is one: it holds none of the language's signs."""
        end = self.source.find("$$", at)
        return None if end < 0 or re.search(r"[{}|]", self.source[at:end]) else end


def _count(head: re.Match[str]) -> tuple[int, int]:
    low, dash, high = head.groups()
    if not dash:
        return (int(low), int(low)) if low else (1, 1)
    least = int(low) if low else 0
    most = int(high) if high else 10_000
    return min(least, most), max(least, most)


@dataclass
class _Draw:
    random: Random
    lines: Lines
    drawn: int = 0
    length: int = 0
    _known: dict[str, Sequence[Option]] = field(default_factory=dict)

    def text(self, text: Text, chain: tuple[str, ...]) -> str:
        return "".join(self._piece(piece, chain) for piece in text)

    def _piece(self, piece: Piece, chain: tuple[str, ...]) -> str:
        if isinstance(piece, str):
            self.length += len(piece)
            if self.length > MOST_TEXT:
                raise problem(
                    f"What comes out is longer than {MOST_TEXT} characters.",
                    f"结果超过 {MOST_TEXT} 个字符。",
                )
            return piece
        if isinstance(piece, ListName):
            return self._option(self._pick(self._lines(piece.name, chain)), chain, piece.name)
        return self._choice(piece, chain)

    def _choice(self, choice: Choice, chain: tuple[str, ...]) -> str:
        count = choice.least
        if choice.most > choice.least:
            most = min(choice.most, len(self._pool(choice, chain)))
            count += int(self.random.random() * (max(most, count) - count + 1))
        if count <= 1:
            return "".join(self._option(self._pick(choice.options), chain) for _ in range(count))
        pool = self._pool(choice, chain)
        found: list[str] = []
        while pool and len(found) < count:
            option, name = taken = self._pick_from(pool)
            pool.remove(taken)
            found.append(self._option(option, chain, name))
        return self.text(choice.joint, chain).join(found)

    def _pool(self, choice: Choice, chain: tuple[str, ...]) -> list[tuple[Option, str]]:
        """What several are drawn from: an option that is a list alone stands for its lines."""
        pool: list[tuple[Option, str]] = []
        for option in choice.options:
            match option.text:
                case (ListName(name=name),):
                    lines = self._lines(name, chain)
                    pool += [
                        (Option(each.weight * option.weight, each.text), name) for each in lines
                    ]
                case _:
                    pool.append((option, ""))
        return pool

    def _pick(self, options: Sequence[Option]) -> Option:
        return self._pick_from([(option, "") for option in options])[0]

    def _pick_from(self, pool: Sequence[tuple[Option, str]]) -> tuple[Option, str]:
        self.drawn += 1
        if self.drawn > MOST_DRAWN:
            raise problem(
                f"More than {MOST_DRAWN} parts would have to be drawn.",
                f"需要抽取的部分超过 {MOST_DRAWN} 个。",
            )
        total = math.fsum(option.weight for option, _ in pool)
        place = self.random.random() * (total or len(pool))
        for each in pool:
            place -= each[0].weight if total else 1.0
            if place < 0:
                return each
        return pool[-1]

    def _option(self, option: Option, chain: tuple[str, ...], name: str = "") -> str:
        return self.text(option.text, (*chain, name) if name else chain)

    def _lines(self, name: str, chain: tuple[str, ...]) -> Sequence[Option]:
        if name in chain:
            way = " → ".join((*chain, name))
            raise problem(
                f"The list {name!r} comes to itself again: {way}.",
                f"列表 {name!r} 循环引用了自身：{way}。",
            )
        if len(chain) >= MOST_DEPTH:
            raise problem(
                f"Lists are nested more than {MOST_DEPTH} deep: {' → '.join(chain)}.",
                f"列表的嵌套超过 {MOST_DEPTH} 层：{' → '.join(chain)}。",
            )
        if name not in self._known:
            self._known[name] = self.lines(name)
        return self._known[name]
