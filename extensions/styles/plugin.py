"""Style presets: the options, and what they make of a prompt."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, field_validator, model_validator

from modules.plugins import (
    ForeignRoutes,
    GenerationRequest,
    Host,
    Options,
    Panel,
    Script,
    Tab,
    hookimpl,
)

from .presets import Presets
from .weave import parse, woven


class StyleOptions(Options):
    """Which presets, and how much of each."""

    names: str = Field(
        default="",
        max_length=4_000,
        title="Styles",
        description="Names with amounts, such as: Oil painting:0.8, Anime",
        json_schema_extra={
            "title_zh": "风格",
            "description_zh": "名称与强度，例如：油画:0.8, 动漫",
        },
    )

    @field_validator("names")
    @classmethod
    def _readable(cls, names: str) -> str:
        parse(names)
        return names

    @model_validator(mode="before")
    @classmethod
    def _on_with_a_name(cls, data: Any) -> Any:
        """Names are the switch: the panel has none beside them."""
        if isinstance(data, dict) and "enabled" not in data:
            return {**data, "enabled": bool(str(data.get("names") or "").strip())}
        return data


class StyleExtension:
    """Puts the words of presets around those of the person."""

    def __init__(self, host: Host) -> None:
        self._presets = presets_of(host)

    @hookimpl
    def register_options(self) -> type[Options]:
        return StyleOptions

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        return [Panel(tab, "Styles", "风格", build="panel:build") for tab in ("txt2img", "img2img")]

    @hookimpl
    def register_tabs(self) -> Sequence[Tab]:
        return [Tab("Styles", "风格", build="panel:build_tab")]

    @hookimpl
    def register_scripts(self) -> Sequence[Script]:
        return [
            Script(
                "Style presets",
                aliases=("styles",),
                read="script:read",
                serves=("prompt_styles",),
            )
        ]

    @hookimpl
    def register_foreign_api(self) -> ForeignRoutes:
        return ForeignRoutes(("/sdapi/v1/prompt-styles",), build="api:foreign")

    @hookimpl
    def rewrite_prompts(
        self, request: GenerationRequest, options: StyleOptions, index: int
    ) -> tuple[str, str] | None:
        chosen = parse(options.names)
        if not chosen:
            return None
        return woven(request.prompt, request.negative_prompt, chosen, self._presets.get)


def presets_of(host: Host) -> Presets:
    """The presets of an installation."""
    return Presets(host.folder / "presets.json", host.folder / "previews", host.data / "presets")
