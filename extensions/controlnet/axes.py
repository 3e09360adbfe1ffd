"""What grids can vary of the units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from modules.plugins import Axis, GenerationRequest, problem

from .unit import ControlMode, ResizeMode

NAME = "controlnet"
_PLACES = 3
"""So many units have axes."""


def axes() -> Sequence[Axis]:
    """Of each of the first few units: weight, start, end, modes, preprocessor and model.

    Whether what is set can be used is said of the cell (`checks`), before the grid is queued.
    """
    return [axis for place in range(_PLACES) for axis in _of(place)]


def _of(place: int) -> list[Axis]:
    number = place + 1

    def share(field: str, en: str, zh: str, most: float) -> Axis:
        return Axis(
            name=f"{NAME}.{field}{number}",
            title=f"ControlNet {en}, unit {number}",
            title_zh=f"ControlNet {zh}（单元 {number}）",
            kind="float",
            least=0.0,
            most=most,
            apply=_Set(place, field),
        )

    def word(field: str, en: str, zh: str, choices: tuple[str, ...] = ()) -> Axis:
        return Axis(
            name=f"{NAME}.{field}{number}",
            title=f"ControlNet {en}, unit {number}",
            title_zh=f"ControlNet {zh}（单元 {number}）",
            kind="choice" if choices else "text",
            choices=choices,
            apply=_Set(place, field),
        )

    return [
        share("weight", "weight", "权重", 2.0),
        share("guidance_start", "starting step", "起始步", 1.0),
        share("guidance_end", "ending step", "结束步", 1.0),
        word("control_mode", "control mode", "控制模式", get_args(ControlMode)),
        word("resize_mode", "resize mode", "缩放模式", get_args(ResizeMode)),
        word("module", "preprocessor", "预处理器"),
        word("model", "model", "模型"),
    ]


@dataclass(frozen=True)
class _Set:
    """Sets a field of the unit at a place."""

    place: int
    field: str

    def __call__(self, request: GenerationRequest, value: Any) -> GenerationRequest:
        given = request.extras.get(NAME, {})
        listed = given.get("units")
        units = list(listed) if isinstance(listed, list | tuple) else []
        unit = units[self.place] if self.place < len(units) else None
        if not isinstance(unit, dict) or not unit.get("enabled", True):
            number = self.place + 1
            raise problem(
                f"There is no ControlNet unit {number}, or it is off: add one with its picture, or switch it on.",
                f"没有 ControlNet 单元 {number}，或它已关闭：请添加单元及其图片，或将其打开。",
            )
        units[self.place] = {**unit, self.field: value}
        return request.replace(extras={**request.extras, NAME: {**given, "units": units}})
