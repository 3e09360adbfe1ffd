"""ControlNet's options, as they stand in a request and in a picture's metadata."""

from typing import Any

from pydantic import Field, model_validator

from modules.plugins import Options

from .unit import MOST_UNITS, Unit


class ControlNetOptions(Options):
    """The units. What several give is added up."""

    units: tuple[Unit, ...] = Field(
        default=(),
        max_length=MOST_UNITS,
        title="Units",
        description="Pictures that steer, with their preprocessors and control models.",
        json_schema_extra={
            "title_zh": "单元",
            "description_zh": "引导图片及其预处理器与控制模型。",
        },
    )

    @model_validator(mode="before")
    @classmethod
    def _on_with_a_unit(cls, data: Any) -> Any:
        """Units that are switched on are the switch: a request without any leaves no trace."""
        if isinstance(data, dict) and "enabled" not in data:
            units = data.get("units") or ()
            on = any(
                unit.get("enabled", True) if isinstance(unit, dict) else unit.enabled
                for unit in units
                if isinstance(unit, dict | Unit)
            )
            return {**data, "enabled": on or any(not isinstance(u, dict | Unit) for u in units)}
        return data
