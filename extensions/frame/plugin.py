"""A frame around the picture, with a line of text."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator

from modules.plugins import Options, Panel, Tab, hookimpl


class FrameOptions(Options):
    """How the frame looks."""

    width: int = Field(
        default=4,
        ge=0,
        le=25,
        title="Width",
        description="Per cent of the picture's shorter side.",
        json_schema_extra={"title_zh": "宽度", "description_zh": "占图片短边的百分比。"},
    )
    colour: str = Field(
        default="#ffffff",
        title="Colour",
        description="Such as #f4e9d8.",
        json_schema_extra={"title_zh": "颜色", "description_zh": "例如 #f4e9d8。"},
    )
    text: str = Field(
        default="",
        max_length=200,
        title="Text",
        description="Under the picture. {seed}, {prompt} and {model} are filled in.",
        json_schema_extra={
            "title_zh": "文字",
            "description_zh": "位于图片下方。可用 {seed}、{prompt}、{model}。",
        },
    )

    @field_validator("colour")
    @classmethod
    def _known(cls, colour: str) -> str:
        from PIL import ImageColor

        ImageColor.getrgb(colour)
        return colour


class FrameExtension:
    """The page part."""

    @hookimpl
    def register_options(self) -> type[Options]:
        return FrameOptions

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        return [Panel(tab, "Frame", "相框") for tab in ("txt2img", "img2img")]

    @hookimpl
    def register_tabs(self) -> Sequence[Tab]:
        return [Tab("Frame", "相框", build="panel:build")]
