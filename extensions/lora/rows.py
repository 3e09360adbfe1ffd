"""One row of the mixer: a LoRA, or a saved blend of several, and how it takes part."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .blocks import NAME
from .curve import Point

MAX_WEIGHT = 10.0
MAX_ROWS = 64
MAX_POINTS = 32

Weight = Annotated[float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]
Share = Annotated[float, Field(ge=0, le=1)]


class Row(BaseModel):
    """A LoRA file, or a blend, by name, with its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1, max_length=300)]
    kind: Literal["lora", "blend"] = "lora"
    on: bool = True
    weight: Weight = 1.0
    te: Weight | None = Field(default=None, description="of the text encoder; None is `weight`")
    blocks: dict[str, Weight] = Field(
        default_factory=dict, description="by block: in, mid, out, base, in0 … ; others are 1"
    )
    start: Share = Field(default=0.0, description="share of the steps from which it acts")
    end: Share = Field(default=1.0, description="share of the steps up to which it acts")
    curve: tuple[Point, ...] = Field(
        default=(), description="(share of the steps, factor), joined by straight lines"
    )
    triggers: bool = Field(default=False, description="whether its words are put into the prompt")
    pictures: tuple[Annotated[int, Field(ge=0, le=10_000)], ...] = Field(
        default=(), max_length=256, description="places in a batch, from 0; empty is all"
    )
    hash: str = Field(
        default="", pattern="^([0-9a-f]{12})?$", description="AutoV3, to find it under another name"
    )

    @field_validator("name")
    @classmethod
    def _one_line(cls, name: str) -> str:
        if any(not sign.isprintable() for sign in name):
            raise ValueError("a name is one line of printable signs")
        return name

    @field_validator("blocks")
    @classmethod
    def _known_blocks(cls, blocks: dict[str, float]) -> dict[str, float]:
        for block in blocks:
            if not NAME.fullmatch(block):
                raise ValueError(f"{block!r} is no block: use in, mid, out, base, in0, out1 …")
        return blocks

    @field_validator("curve")
    @classmethod
    def _rising_places(cls, curve: tuple[Point, ...]) -> tuple[Point, ...]:
        if len(curve) > MAX_POINTS:
            raise ValueError(f"a curve has at most {MAX_POINTS} points")
        for share, height in curve:
            if not (0 <= share <= 1 and abs(height) <= MAX_WEIGHT and math.isfinite(height)):
                raise ValueError("a point is (share of the steps from 0 to 1, factor)")
        places = [share for share, _ in curve]
        if places != sorted(set(places)):
            raise ValueError("the points of a curve come in the order of the steps")
        return curve

    @model_validator(mode="after")
    def _window(self) -> "Row":
        if self.end < self.start:
            raise ValueError(f"it ends ({self.end:g}) before it starts ({self.start:g})")
        return self

    @property
    def text_weight(self) -> float:
        """The weight for text encoders."""
        return self.weight if self.te is None else self.te

    def scaled(self, factor: float) -> "Row":
        """The same with its weights multiplied, kept within what a row may have."""

        def times(weight: float) -> float:
            return max(-MAX_WEIGHT, min(MAX_WEIGHT, weight * factor))

        te = None if self.te is None else times(self.te)
        return self.model_copy(update={"weight": times(self.weight), "te": te})
