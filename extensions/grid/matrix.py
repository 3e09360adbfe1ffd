"""A prompt matrix: `base|a|b` is four prompts, the base with each choice of the other parts."""

from modules.plugins import GenerationRequest, problem

from .axes import Line, Place

MOST_PARTS = 16


def lines(request: GenerationRequest, field: str, most: int) -> tuple[Line, Line]:
    """The parts' choices on two axes, x and y: the first half of the parts stands down, the others across.

    Raises:
        UserError: the prompt has no `|`, or there are too many parts.
    """
    text: str = getattr(request, field)
    base, *parts = [part.strip() for part in text.split("|")]
    parts = [part for part in parts if part]
    if not parts:
        raise problem(
            "A prompt matrix needs parts after |, such as: a house | at night | in snow",
            "提示词矩阵需要用 | 分隔的部分，例如：a house | at night | in snow",
        )
    if len(parts) > MOST_PARTS or 2 ** len(parts) > most:
        raise problem(
            f"{len(parts)} parts after the first make {2 ** min(len(parts), 64)} pictures; one grid has at most {most}.",
            f"第一部分之后有 {len(parts)} 个部分，将生成 {2 ** min(len(parts), 64)} 张图；一个网格最多 {most} 张。",
        )
    split = len(parts) // 2
    down = _line(field, base, parts[:split], fresh=True)
    return _line(field, base, parts[split:], fresh=False), down


def _line(field: str, base: str, parts: list[str], *, fresh: bool) -> Line:
    """Each choice of `parts`; the `fresh` axis begins with the base alone, the other adds to what it has written."""
    places = []
    for choice in range(2 ** len(parts)):
        chosen = tuple(part for number, part in enumerate(parts) if choice >> number & 1)
        label = ", ".join(chosen) or ("–" if parts else "")
        places.append(Place(label, _Choice(field, base if fresh else None, chosen)))
    return Line("", "", "", tuple(places), rank=0 if fresh else 1)


class _Choice:
    """Writes a prompt."""

    def __init__(self, field: str, base: str | None, chosen: tuple[str, ...]) -> None:
        self._field = field
        self._base = base
        self._chosen = chosen

    def __call__(self, request: GenerationRequest) -> GenerationRequest:
        before = getattr(request, self._field) if self._base is None else self._base
        written = ", ".join(part for part in (before, *self._chosen) if part)
        return request.replace(**{self._field: written})
