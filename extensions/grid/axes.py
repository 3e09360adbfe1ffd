"""One axis of a table: from its name and its values to places, each with a label and what it does to a request."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, permutations
from typing import Any

from modules.plugins import Axis, GenerationRequest, UserError, problem

from .values import Title, numbers, pieces, switches, texts, too_many, wrong

EXTENSION = "grid"
SEARCH, ORDER = "prompt_sr", "prompt_order"

Apply = Callable[[GenerationRequest], GenerationRequest]


@dataclass(frozen=True)
class Place:
    """One value of an axis."""

    label: str
    apply: Apply


@dataclass(frozen=True)
class Line:
    """An axis with its places."""

    name: str
    title: str
    title_zh: str
    places: tuple[Place, ...]
    rank: int = 1
    """Names and whole texts (0) are set first, then numbers (1) that may need them, then what rewrites words (2)."""


NOTHING = Line("", "", "", (Place("", lambda request: request),))
OWN = (
    (SEARCH, "Prompt S/R", "提示词搜索替换"),
    (ORDER, "Prompt order", "提示词顺序"),
)
"""Axes of the words of the prompt, which take all of their values together."""


def offered(axes: Sequence[Axis]) -> Iterator[tuple[str, str, str]]:
    """Name and titles of all that can be varied; a grid of grids is none."""
    for axis in axes:
        if not axis.name.startswith(f"{EXTENSION}."):
            yield axis.name, axis.title, axis.title_zh or axis.title
    yield from OWN


def line(letter: str, name: str, text: str, axes: Sequence[Axis], most: int) -> Line:
    """The axis called `name` (or by its title) with the values in `text`.

    Raises:
        UserError: there is no such axis; or names it and the value that is wrong.
    """
    wanted = " ".join(name.split()).casefold()
    for key, title, title_zh in OWN:
        if wanted in (key, title.casefold(), title_zh):
            make = _searched if key == SEARCH else _ordered
            return Line(
                key,
                title,
                title_zh,
                tuple(make(Title.of(letter, title, title_zh), text, most)),
                rank=2,
            )
    for axis in axes:
        names = (axis.name.casefold(), axis.title.casefold(), axis.title_zh.casefold())
        if wanted in names and not axis.name.startswith(f"{EXTENSION}."):
            places = tuple(_places(letter, axis, text, most))
            return Line(axis.name, axis.title, axis.title_zh, places, rank=int(axis.kind != "text"))
    known = ", ".join(key for key, _, _ in offered(axes))
    raise problem(
        f"{letter}: there is no axis {name[:80]!r}. There are: {known}.",
        f"{letter}：没有名为 {name[:80]!r} 的轴。可用的有：{known}。",
    )


def _places(letter: str, axis: Axis, text: str, most: int) -> Iterator[Place]:
    title = Title.of(letter, axis.title, axis.title_zh)
    values: Sequence[Any]
    match axis.kind:
        case "int" | "float":
            values = numbers(title, text, whole=axis.kind == "int", most=most)
        case "bool":
            values = switches(title, text)
        case _:
            known = [str(choice) for choice in axis.choices]
            values = texts(title, text, known, strict=axis.kind == "choice")
    if len(values) > most:
        raise too_many(title, len(values), most)
    for value in values:
        _bounded(title, axis, value)
        yield Place(_label(value), _Value(title, axis, value))


@dataclass(frozen=True)
class _Value:
    """Sets one value; what the axis says against it is told with both names."""

    title: Title
    axis: Axis
    value: Any

    def __call__(self, request: GenerationRequest) -> GenerationRequest:
        try:
            return self.axis.apply(request, self.value)
        except UserError as error:
            raise problem(
                f"{self.title.en}, {_label(self.value)!r}: {error.message('en')}",
                f"{self.title.zh}，{_label(self.value)!r}：{error.message('zh')}",
            ) from error


def _bounded(title: Title, axis: Axis, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    least, most = axis.least, axis.most
    if (least is not None and value < least) or (most is not None and value > most):
        low = "" if least is None else f"{least:g}"
        high = "" if most is None else f"{most:.10g}"
        if least is None:
            raise wrong(title, _label(value), f"{high} or less", f"不大于 {high} 的值")
        if most is None:
            raise wrong(title, _label(value), f"{low} or more", f"不小于 {low} 的值")
        raise wrong(
            title, _label(value), f"something from {low} to {high}", f"{low} 到 {high} 之间的值"
        )


def _label(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _searched(title: Title, text: str, most: int) -> Iterator[Place]:
    """The first value is looked for in both prompts; in each place it is replaced by that place's value."""
    values = list(dict.fromkeys(pieces(title, text)))
    if len(values) > most:
        raise too_many(title, len(values), most)
    for value in values:
        yield Place(value, _Search(title, values[0], value))


@dataclass(frozen=True)
class _Search:
    """Replaces one text by another."""

    title: Title
    wanted: str
    value: str

    def __call__(self, request: GenerationRequest) -> GenerationRequest:
        if self.wanted not in request.prompt and self.wanted not in request.negative_prompt:
            raise problem(
                f"{self.title.en}: {self.wanted[:80]!r} stands in neither prompt. The first value is the text to replace.",
                f"{self.title.zh}：两个提示词中都没有 {self.wanted[:80]!r}。第一个值是要被替换的文字。",
            )
        return request.replace(
            prompt=request.prompt.replace(self.wanted, self.value),
            negative_prompt=request.negative_prompt.replace(self.wanted, self.value),
        )


def _ordered(title: Title, text: str, most: int) -> Iterator[Place]:
    """The values in every order, put where they stand in the prompt."""
    values = list(dict.fromkeys(pieces(title, text)))
    orders = list(islice(permutations(values), most + 1))
    if len(orders) > most:
        raise too_many(title, len(orders), most)
    for order in orders:
        yield Place(", ".join(order), _Order(title, tuple(values), order))


@dataclass(frozen=True)
class _Order:
    """Puts texts where others of them stand."""

    title: Title
    values: tuple[str, ...]
    order: tuple[str, ...]

    def __call__(self, request: GenerationRequest) -> GenerationRequest:
        found = sorted((request.prompt.find(value), value) for value in self.values)
        if found[0][0] < 0:
            missing = found[0][1]
            raise problem(
                f"{self.title.en}: {missing[:80]!r} does not stand in the prompt.",
                f"{self.title.zh}：提示词中没有 {missing[:80]!r}。",
            )
        written, at = [], 0
        for (place, value), new in zip(found, self.order, strict=True):
            written += [request.prompt[at:place], new]
            at = place + len(value)
        return request.replace(prompt="".join([*written, request.prompt[at:]]))
