"""What can be asked for."""

from typing import Any, Literal

from pydantic import Field, field_validator

from modules.plugins import Options

AXES = ("x", "y", "z")
MAX_VALUES = 20_000
MAX_PROMPTS = 200_000


def _axis(letter: str) -> Any:
    return Field(
        default="",
        max_length=200,
        title=f"{letter} axis",
        description="A field (cfg_scale, hires.scale), an extension's option (lora.weight1), prompt_sr or prompt_order.",
        json_schema_extra={
            "title_zh": f"{letter} 轴",
            "description_zh": "字段（cfg_scale、hires.scale）、扩展的选项（lora.weight1）、prompt_sr 或 prompt_order。",
        },
    )


def _values(letter: str) -> Any:
    return Field(
        default="",
        max_length=MAX_VALUES,
        title=f"{letter} values",
        description="4, 8, 12 · 1-5 (+2) · 0-1 [5] · 1, 2, .., 10 · SKIP: before a value leaves it out.",
        json_schema_extra={
            "title_zh": f"{letter} 取值",
            "description_zh": "4, 8, 12 · 1-5 (+2) · 0-1 [5] · 1, 2, .., 10 · 值前写 SKIP: 则略过它。",
        },
    )


class GridOptions(Options):
    """A table over up to three axes, a prompt matrix, or a list of prompts."""

    mode: Literal["axes", "matrix", "prompts"] = Field(
        default="axes", title="Kind", json_schema_extra={"title_zh": "种类"}
    )
    x: str = _axis("X")
    x_values: str = _values("X")
    y: str = _axis("Y")
    y_values: str = _values("Y")
    z: str = _axis("Z")
    z_values: str = _values("Z")
    matrix_in: Literal["prompt", "negative_prompt"] = Field(
        default="prompt", title="Matrix of", json_schema_extra={"title_zh": "矩阵所在"}
    )
    prompts: str = Field(
        default="",
        max_length=MAX_PROMPTS,
        title="Prompts",
        description='One a line; a line may say more: --steps 20 --cfg_scale 7 --prompt "a red apple"',
        json_schema_extra={
            "title_zh": "提示词",
            "description_zh": '每行一个；一行可写更多参数：--steps 20 --cfg_scale 7 --prompt "a red apple"',
            "lines": 6,
        },
    )
    seeds: Literal["same", "next"] = Field(
        default="same",
        title="Seeds",
        description="same: all cells have the job's seed. next: each has one more than the one before.",
        json_schema_extra={
            "title_zh": "种子",
            "description_zh": "same：所有格子用同一种子。next：每格种子依次加一。",
        },
    )
    sheet: bool = Field(
        default=True, title="Labelled sheet", json_schema_extra={"title_zh": "带标注的拼图"}
    )

    @field_validator("x", "y", "z", "prompts", mode="before")
    @classmethod
    def _empty(cls, given: Any) -> Any:
        """A control that nobody has touched holds nothing."""
        return "" if given is None else given

    @field_validator("x_values", "y_values", "z_values", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        """A list, or one number, as a program may send it, is written out."""
        if given is None or isinstance(given, bool):
            return "" if given is None else given
        if isinstance(given, int | float):
            return f"{given}"
        if isinstance(given, list | tuple):
            return ", ".join(_quoted(str(each)) for each in given)
        return given


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if any(mark in text for mark in ',"\n') or text != text.strip() else text
