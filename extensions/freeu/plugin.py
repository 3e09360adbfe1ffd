"""FreeU (Si et al. 2023, arXiv:2309.11497): four scales on the features that a U-Net's decoder works with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from modules.plugins import GenerationRequest, Options, Panel, check_adapters, hookimpl

if TYPE_CHECKING:
    from modules.plugins.adapters import Adapter, Parts


class FreeUOptions(Options):
    """The paper's b1, b2 (backbone) and s1, s2 (skip); 1 leaves the feature as it is."""

    b1: float = Field(
        default=1.2,
        ge=0,
        le=2,
        title="Backbone 1",
        description="Strength of the deepest decoder features.",
        json_schema_extra={
            "title_zh": "主干 1",
            "description_zh": "最深层解码特征的强度。",
            "step": 0.05,
        },
    )
    b2: float = Field(
        default=1.4,
        ge=0,
        le=2,
        title="Backbone 2",
        description="Strength of the next decoder features.",
        json_schema_extra={
            "title_zh": "主干 2",
            "description_zh": "次深层解码特征的强度。",
            "step": 0.05,
        },
    )
    s1: float = Field(
        default=0.9,
        ge=0,
        le=2,
        title="Skip 1",
        description="Low frequencies that the deepest skip connection brings in.",
        json_schema_extra={
            "title_zh": "跳跃 1",
            "description_zh": "最深跳跃连接带入的低频成分。",
            "step": 0.05,
        },
    )
    s2: float = Field(
        default=0.2,
        ge=0,
        le=2,
        title="Skip 2",
        description="Low frequencies that the next skip connection brings in.",
        json_schema_extra={
            "title_zh": "跳跃 2",
            "description_zh": "次深跳跃连接带入的低频成分。",
            "step": 0.05,
        },
    )


class FreeUExtension:
    """Registers the options, their panel and the adapter."""

    @hookimpl
    def register_options(self) -> type[Options]:
        return FreeUOptions

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        return [Panel(tab, "FreeU") for tab in ("txt2img", "img2img")]

    @hookimpl
    def check_request(self, request: GenerationRequest, family: str) -> None:
        check_adapters(("freeu",), family, request.model or "")

    @hookimpl
    def prepare_generation(
        self, request: GenerationRequest, options: FreeUOptions, parts: Parts
    ) -> Adapter | None:
        from .adapter import FreeU  # torch: only the worker has it

        return FreeU(options.b1, options.b2, options.s1, options.s2)
