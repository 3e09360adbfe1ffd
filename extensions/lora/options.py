"""The Style Mixer's options, as they stand in a request and in a picture's metadata."""

from typing import Any

from pydantic import Field, model_validator

from modules.plugins import Options

from .rows import MAX_ROWS, Row


class LoraOptions(Options):
    """The rows of the mixer. Tags in the prompt say the same: where they differ, the prompt holds (see `tags`)."""

    rows: tuple[Row, ...] = Field(
        default=(),
        max_length=MAX_ROWS,
        title="Rows",
        description="LoRAs and blends with their weights, as in the prompt's tags.",
        json_schema_extra={
            "title_zh": "行",
            "description_zh": "LoRA 与混合方案及其权重，与提示词中的标签一致。",
        },
    )

    @model_validator(mode="before")
    @classmethod
    def _on_with_a_row(cls, data: Any) -> Any:
        """Rows are the switch: the panel has none beside them, and a request without rows leaves no trace."""
        if isinstance(data, dict) and "enabled" not in data:
            rows = data.get("rows") or ()
            return {**data, "enabled": bool(rows)}
        return data
