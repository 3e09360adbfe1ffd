"""Trying weights: one picture per weight of a LoRA (a strip), or per pair of weights of two (a plane).

Every request keeps the seed, so that only the weight differs; the labels name what each picture shows.
"""

from collections.abc import Sequence

from pydantic import JsonValue

from modules.plugins import GenerationRequest, Planned, problem

from .rows import MAX_WEIGHT, Row
from .tags import reconcile, tag_name, to_prompt

EXTENSION = "lora"
MOST = 100
STRIP = (0.0, 0.25, 0.5, 0.75, 1.0)


def rows_in(request: GenerationRequest) -> tuple[Row, ...]:
    """The rows that act in a request, wherever it says so.

    Raises:
        pydantic.ValidationError: its extras hold what is no row.
    """
    given = request.extras.get(EXTENSION, {})
    rows = given.get("rows") if given.get("enabled", True) else None
    plain = rows if isinstance(rows, list) else []
    return reconcile(request.prompt, [Row.model_validate(row) for row in plain])


def with_rows(request: GenerationRequest, rows: Sequence[Row]) -> GenerationRequest:
    """The request with these rows instead of its own, in the prompt's tags and in the extras alike."""
    extras = {name: value for name, value in request.extras.items() if name != EXTENSION}
    if rows:
        plain: list[JsonValue] = [row.model_dump(mode="json") for row in rows]
        extras[EXTENSION] = {"enabled": True, "rows": plain}
    return request.replace(prompt=to_prompt(request.prompt, rows), extras=extras)


def with_weight(request: GenerationRequest, name: str, weight: float) -> GenerationRequest:
    """The request with another weight of the row called `name`; a row that is not there is added.

    A weight of the text encoder that was set apart keeps its ratio to the other.
    """
    if abs(weight) > MAX_WEIGHT:
        raise problem(
            f"A weight lies between -{MAX_WEIGHT:g} and {MAX_WEIGHT:g}; found {weight:g}.",
            f"权重须在 -{MAX_WEIGHT:g} 与 {MAX_WEIGHT:g} 之间，实际为 {weight:g}。",
        )
    rows = list(rows_in(request))
    wanted = tag_name(name).casefold()
    for place, row in enumerate(rows):
        if tag_name(row.name).casefold() == wanted:
            te = None
            if row.te is not None:
                te = row.te * weight / row.weight if row.weight else row.te
                te = max(-MAX_WEIGHT, min(MAX_WEIGHT, te))
            rows[place] = row.model_copy(update={"weight": weight, "te": te})
            break
    else:
        rows.append(Row(name=name, weight=weight))
    return with_rows(request, rows)


def strip(
    request: GenerationRequest, name: str, weights: Sequence[float] = STRIP
) -> tuple[Planned, ...]:
    """One cell per weight.

    Raises:
        UserError: no weights, too many, or a seed that is still to be drawn.
    """
    _check(request, len(weights))
    one = request.replace(batch_size=1, batch_count=1)
    return tuple(Planned(with_weight(one, name, w), (f"{name} {w:g}",)) for w in weights)


def plane(
    request: GenerationRequest,
    names: tuple[str, str],
    weights: tuple[Sequence[float], Sequence[float]] = (STRIP, STRIP),
) -> tuple[tuple[Planned, ...], ...]:
    """Rows of cells: the second LoRA's weight grows downwards, the first one's to the right.

    Raises:
        UserError: no weights, too many, the same LoRA twice, or a seed that is still to be drawn.
    """
    if tag_name(names[0]).casefold() == tag_name(names[1]).casefold():
        raise problem(
            "A plane takes two LoRAs; this is one twice.", "平面扫描需要两个不同的 LoRA。"
        )
    across, down = weights
    _check(request, len(across) * len(down))
    one = request.replace(batch_size=1, batch_count=1)
    return tuple(
        tuple(
            Planned(
                with_weight(with_weight(one, names[0], x), names[1], y),
                (f"{names[0]} {x:g}", f"{names[1]} {y:g}"),
            )
            for x in across
        )
        for y in down
    )


def _check(request: GenerationRequest, count: int) -> None:
    if not 1 <= count <= MOST:
        raise problem(
            f"A sweep makes 1 to {MOST} pictures; these weights make {count}.",
            f"一次扫描生成 1 至 {MOST} 张图，这些权重将生成 {count} 张。",
        )
    if request.seed < 0:
        raise problem(
            "A sweep needs a fixed seed, or the pictures differ in more than the weights.",
            "扫描需要固定的种子，否则各图的差别不只在于权重。",
        )
