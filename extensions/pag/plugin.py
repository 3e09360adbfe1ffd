"""Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377), and a sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from modules.plugins import (
    GenerationRequest,
    Options,
    Panel,
    Sampler,
    check_adapters,
    hookimpl,
)

from .sampler import gradient_estimation

Layers = Literal["mid", "deep_down", "deep_up"]


class PagOptions(Options):
    """The paper's scale s and the layers that are perturbed; 0 leaves the picture as it is."""

    scale: float = Field(
        default=3.0,
        ge=0,
        le=10,
        title="Scale",
        description="How far away from what the model sees without self-attention.",
        json_schema_extra={
            "title_zh": "强度",
            "description_zh": "远离模型缺少自注意力时所见的程度。",
            "step": 0.1,
        },
    )
    layers: Layers = Field(
        default="mid",
        title="Layers",
        description="Whose self-attention is taken away: the middle of the U-Net, or its deepest blocks.",
        json_schema_extra={
            "title_zh": "层",
            "description_zh": "去除哪些层的自注意力：U-Net 的中间块，或最深的下行、上行块。",
        },
    )
    start: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Start",
        description="Share of the steps at which it begins.",
        json_schema_extra={
            "title_zh": "开始",
            "description_zh": "从步数的何处开始。",
            "step": 0.05,
        },
    )
    end: float = Field(
        default=1.0,
        ge=0,
        le=1,
        title="End",
        description="Share of the steps at which it stops.",
        json_schema_extra={
            "title_zh": "结束",
            "description_zh": "到步数的何处为止。",
            "step": 0.05,
        },
    )


class PagExtension:
    """The page part."""

    @hookimpl
    def register_options(self) -> type[Options]:
        return PagOptions

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        title, title_zh = "Perturbed-attention guidance", "扰动注意力引导"
        return [Panel(tab, title, title_zh) for tab in ("txt2img", "img2img")]

    @hookimpl
    def check_request(self, request: GenerationRequest, options: PagOptions, family: str) -> None:
        if options.scale:
            check_adapters(("pag",), family, request.model or "")

    @hookimpl
    def register_samplers(self) -> Sequence[Sampler]:
        return [Sampler("gradient_estimation", "Gradient estimation", gradient_estimation)]
