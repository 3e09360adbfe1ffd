"""The values of an axis, from how people write them: `4, 8`, `1-5 (+2)`, `0-1 [5]`, `1, 2, .., 10`, `SKIP:` before one."""

import csv
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from modules.plugins import problem

SKIP = "SKIP:"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_SPAN = re.compile(
    rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*(?:\(\s*({_NUMBER})\s*\)|\[\s*(\d+)\s*\])?\s*", re.ASCII
)
_DOTS = ("..", "...", "…")
_ON = frozenset({"true", "on", "yes", "1"})
_OFF = frozenset({"false", "off", "no", "0"})
_LONGEST_NUMBER = 40


class Title(NamedTuple):
    """What an axis is called, in both languages, after its letter."""

    en: str
    zh: str

    @classmethod
    def of(cls, letter: str, en: str, zh: str) -> "Title":
        """`X: Steps`."""
        return cls(f"{letter}: {en}", f"{letter}（{zh or en}）")


def pieces(title: Title, text: str) -> list[str]:
    """What stands between the commas; in quotes there may be commas. A new line is a comma too.

    Raises:
        UserError: a quote is not closed, or there is nothing.
    """
    try:
        rows = list(csv.reader(text.splitlines(), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise problem(
            f"{title.en}: the values {text[:60]!r} cannot be read ({error}). Close every quote.",
            f"{title.zh}：无法读取取值 {text[:60]!r}（{error}）。请补全引号。",
        ) from error
    found = [each.strip() for row in rows for each in row]
    kept = [each for each in found if each and not each.upper().startswith(SKIP)]
    if not kept:
        raise problem(
            f"{title.en}: there is no value. Write some, such as 4, 8.",
            f"{title.zh}：没有取值。请填写，例如 4, 8。",
        )
    return kept


def numbers(title: Title, text: str, *, whole: bool, most: int) -> list[int | float]:
    """Numbers, ranges and progressions; the same one twice is there once.

    Raises:
        UserError: names the axis and the value; or there are more than `most`.
    """
    found: dict[Decimal, None] = {}
    given = pieces(title, text)
    at = 0
    before: list[Decimal] = []
    while at < len(given):
        if given[at] in _DOTS:
            new = list(_progression(title, given, at, before, most))
            at += 1  # the end stands after the dots
        else:
            new = list(_span(title, given[at], whole=whole, most=most))
        before += new
        found |= dict.fromkeys(new)
        if len(found) > most:
            raise too_many(title, len(found), most)
        at += 1
    return [_plain(title, each, whole=whole) for each in found]


def switches(title: Title, text: str) -> list[bool]:
    """On and off."""
    found = []
    for each in pieces(title, text):
        word = each.casefold()
        if word not in _ON | _OFF:
            raise wrong(title, each, "true or false", "true 或 false")
        found.append(word in _ON)
    return list(dict.fromkeys(found))


def texts(title: Title, text: str, choices: Sequence[str], *, strict: bool) -> list[str]:
    """Words; of `choices` in any case, and where that is `strict` nothing else.

    Raises:
        UserError: names the axis, the value and the choices.
    """
    known = {choice.casefold(): choice for choice in choices}
    found = []
    for each in pieces(title, text):
        choice = known.get(each.casefold())
        if choice is None and strict:
            listed = ", ".join(choices)
            raise wrong(title, each, f"one of: {listed}", f"其中之一：{listed}")
        found.append(each if choice is None else choice)
    return list(dict.fromkeys(found))


def wrong(title: Title, value: object, en: str, zh: str) -> Exception:
    """What an axis does not take, and what it does."""
    return problem(
        f"{title.en}: {str(value)[:80]!r} does not fit. Give {en}.",
        f"{title.zh}：{str(value)[:80]!r} 不合适。请填写{zh}。",
    )


def too_many(title: Title, found: int, most: int) -> Exception:
    """More values than a grid has cells."""
    return problem(
        f"{title.en}: these are {found} values or more, and one grid has at most {most} cells.",
        f"{title.zh}：至少有 {found} 个值，而一个网格最多 {most} 格。",
    )


def _span(title: Title, text: str, *, whole: bool, most: int) -> Iterator[Decimal]:
    """`7`, `1-5`, `1-5 (+2)` or `0-1 [5]`."""
    span = _SPAN.fullmatch(text)
    if span is None:
        yield _number(title, text)
        return
    first, last = _number(title, span[1]), _number(title, span[2])
    if span[4] is not None:
        yield from _evenly(title, first, last, int(span[4][:9]), whole=whole, most=most)
        return
    step = _number(title, span[3]) if span[3] is not None else Decimal(1 if last >= first else -1)
    yield from _steps(title, text, first, last, step, most)


def _evenly(
    title: Title, first: Decimal, last: Decimal, count: int, *, whole: bool, most: int
) -> Iterator[Decimal]:
    if count > most:
        raise too_many(title, count, most)
    if count < 1:
        raise wrong(title, f"[{count}]", "how many there are to be, at least 1", "个数，至少为 1")
    for place in range(count):
        value = first if count == 1 else first + (last - first) * place / (count - 1)
        yield value.quantize(Decimal(1)) if whole else round(value, 4)


def _progression(
    title: Title, given: Sequence[str], at: int, before: Sequence[Decimal], most: int
) -> Iterator[Decimal]:
    """`1, 2, .., 10`: on by the last step, or by one where only one number stands before."""
    if not before or at + 1 >= len(given):
        raise problem(
            f"{title.en}: '..' stands between numbers, such as 1, 2, .., 10.",
            f"{title.zh}：“..”须写在数字之间，例如 1, 2, .., 10。",
        )
    last = _number(title, given[at + 1])
    step = before[-1] - before[-2] if len(before) > 1 else Decimal(1 if last >= before[-1] else -1)
    text = f"{before[-1]}, .., {last}"
    yield from _steps(title, text, before[-1] + step, last, step, most)


def _steps(
    title: Title, text: str, first: Decimal, last: Decimal, step: Decimal, most: int
) -> Iterator[Decimal]:
    if not step or (first != last and (last > first) != (step > 0)):
        raise problem(
            f"{title.en}: {text[:80]!r} never comes to its end. Turn the step round.",
            f"{title.zh}：{text[:80]!r} 永远到不了终点。请改变步长的方向。",
        )
    count = int((last - first) / step) + 1
    if count > most:
        raise too_many(title, count, most)
    for place in range(count):
        yield first + step * place


def _number(title: Title, text: str) -> Decimal:
    plain = text.strip()
    if not re.fullmatch(_NUMBER, plain, re.ASCII) or len(plain) > _LONGEST_NUMBER:
        raise wrong(
            title,
            plain,
            "a number or a range, such as 4 or 1-5 (+2)",
            "数字或范围，例如 4 或 1-5 (+2)",
        )
    return Decimal(plain)


def _plain(title: Title, value: Decimal, *, whole: bool) -> int | float:
    if not whole:
        return float(value)
    if value != value.to_integral_value():
        raise wrong(title, value, "whole numbers", "整数")
    return int(value)
