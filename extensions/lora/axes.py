"""What grids can vary of the mixer."""

from collections.abc import Sequence
from typing import Any

from modules.plugins import Axis, GenerationRequest, problem

from .sweep import rows_in, with_rows, with_weight

_PLACES = 4


def axes() -> Sequence[Axis]:
    """The weights of the first few rows, the weight of a LoRA by name, and the strength of the whole mix."""
    rows = [
        Axis(
            name=f"lora.weight{number}",
            title=f"LoRA weight, row {number}",
            title_zh=f"LoRA 权重（第 {number} 行）",
            kind="float",
            least=-2.0,
            most=2.0,
            apply=_Place(number - 1),
        )
        for number in range(1, _PLACES + 1)
    ]
    named = Axis(
        name="lora.named",
        title="LoRA by name (ink:0.8)",
        title_zh="按名称指定 LoRA（ink:0.8）",
        kind="text",
        apply=named_weight,
    )
    whole = Axis(
        name="lora.strength",
        title="Strength of all LoRAs",
        title_zh="所有 LoRA 的强度",
        kind="float",
        least=0.0,
        most=2.0,
        apply=strength,
    )
    return [*rows, named, whole]


class _Place:
    """Sets the weight of the row at a place."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __call__(self, request: GenerationRequest, value: Any) -> GenerationRequest:
        rows = rows_in(request)
        if self._place >= len(rows):
            number = self._place + 1
            raise problem(
                f"There is no LoRA in row {number}: add one to the mixer or the prompt.",
                f"第 {number} 行没有 LoRA：请在混合器或提示词中添加。",
            )
        changed = [
            row.model_copy(update={"weight": float(value), "te": None})
            if at == self._place
            else row
            for at, row in enumerate(rows)
        ]
        return with_rows(request, changed)


def named_weight(request: GenerationRequest, value: Any) -> GenerationRequest:
    """ "ink:0.8", or "ink" for 1; "" is no LoRA more."""
    name, _, weight = str(value).strip().rpartition(":")
    if not name:
        name, weight = weight, "1"
    if not name:
        return request
    try:
        number = float(weight)
    except ValueError as error:
        raise problem(
            f"{value!r}: write a LoRA's name and its weight, such as ink:0.8.",
            f"{value!r}：请写 LoRA 名称与权重，例如 ink:0.8。",
        ) from error
    return with_weight(request, name, number)


def strength(request: GenerationRequest, value: Any) -> GenerationRequest:
    """Every weight multiplied."""
    return with_rows(request, [row.scaled(float(value)) for row in rows_in(request)])
