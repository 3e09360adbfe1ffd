"""From options to the cells of a job."""

from collections.abc import Sequence
from itertools import combinations

from modules.plugins import Axis, Cell, GenerationRequest, Layout, LayoutAxis, problem

from . import matrix, prompts
from .axes import NOTHING, SEARCH, Line, line
from .options import AXES, GridOptions

_LABEL = 300


def laid_out(
    request: GenerationRequest, options: GridOptions, axes: Sequence[Axis], most: int
) -> Layout:
    """The cells, x the quickest and z the slowest.

    Raises:
        UserError: names the axis or line and the value that is wrong; or there are too many cells.
    """
    if options.mode == "prompts":
        return _listed(request, options, most)
    if options.mode == "matrix":
        x, y = matrix.lines(request, options.matrix_in, most)
        return _table(request, (x, y, NOTHING), options, most)
    lines = [_line(letter, options, axes, most) for letter in AXES]
    if all(each is NOTHING for each in lines):
        raise problem(
            "A grid needs an axis: choose what X varies, and write its values.",
            "网格需要一个轴：请选择 X 轴的内容并填写取值。",
        )
    _different(request, lines)
    return _table(request, (lines[0], lines[1], lines[2]), options, most)


def _different(request: GenerationRequest, lines: Sequence[Line]) -> None:
    """One field twice would keep the later value alone, under labels that name both.

    What adds to what is there (a LoRA by name, another word to replace) may stand twice.
    """
    for (first, one), (second, other) in combinations(zip(AXES, lines, strict=True), 2):
        if one is NOTHING or one.name != other.name or one.name == SEARCH:
            continue
        last = other.places[0].apply
        if all(last(place.apply(request)) == last(request) for place in one.places):
            pair = first.upper(), second.upper()
            raise problem(
                f"{pair[0]} and {pair[1]} both vary {one.title}. Choose something else for one of them.",
                f"{pair[0]} 与 {pair[1]} 都是“{one.title_zh or one.title}”。请为其中一个另选内容。",
            )


def _line(letter: str, options: GridOptions, axes: Sequence[Axis], most: int) -> Line:
    name: str = getattr(options, letter)
    text: str = getattr(options, f"{letter}_values")
    if name.strip():
        return line(letter.upper(), name, text, axes, most)
    if text.strip():
        raise problem(
            f"{letter.upper()} has values ({text[:60]!r}) and nothing that they are for. Choose its axis.",
            f"{letter.upper()} 有取值（{text[:60]!r}），却没有选择轴。请先选择。",
        )
    return NOTHING


def _table(
    request: GenerationRequest, lines: tuple[Line, Line, Line], options: GridOptions, most: int
) -> Layout:
    sizes = [len(each.places) for each in lines]
    count = sizes[0] * sizes[1] * sizes[2]
    if count > most:
        said = " × ".join(str(size) for size in sizes if size > 1)
        raise problem(
            f"{said} is {count} cells; one grid has at most {most}. Leave values out, or raise limits.max_cells.",
            f"{said} 共 {count} 格；一个网格最多 {most} 格。请减少取值，或提高 limits.max_cells。",
        )
    x, y, z = lines
    cells = []
    for number in range(count):
        at = (number % sizes[0], number // sizes[0] % sizes[1], number // (sizes[0] * sizes[1]))
        made = request
        for each, place in sorted(zip(lines, at, strict=True), key=lambda pair: pair[0].rank):
            made = each.places[place].apply(made)
        cells.append(Cell(request=made, at=at))
    return Layout(
        x=_axis(x),
        y=_axis(y),
        z=_axis(z),
        cells=_seeded(cells, options),
        sheet=options.sheet,
    )


def _listed(request: GenerationRequest, options: GridOptions, most: int) -> Layout:
    found = list(prompts.requests(request, options.prompts, most))
    cells = [Cell(request=each, at=(at, 0, 0)) for at, (_, each) in enumerate(found)]
    labels = tuple(label[:_LABEL] or "–" for label, _ in found)
    return Layout(
        x=LayoutAxis(labels=labels),
        cells=_seeded(cells, options),
        flows=True,
        sheet=options.sheet,
    )


def _axis(line: Line) -> LayoutAxis:
    labels = tuple(place.label[:_LABEL] for place in line.places)
    return LayoutAxis(title=line.title, title_zh=line.title_zh, labels=labels)


def _seeded(cells: Sequence[Cell], options: GridOptions) -> tuple[Cell, ...]:
    if options.seeds == "same":
        return tuple(cells)
    return tuple(
        cell.model_copy(update={"request": prompts.further(cell.request, at)})
        for at, cell in enumerate(cells)
    )
