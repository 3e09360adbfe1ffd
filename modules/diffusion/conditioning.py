"""What the denoiser is told to draw, and to avoid, at each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, eq=False)
class Encoded:
    """One text as the denoiser reads it."""

    tokens: torch.Tensor
    """(1, tokens, width), `encoder_hidden_states`."""
    added: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """(1, ...) each: what a family adds beside the tokens, such as SDXL's `text_embeds` and `time_ids`."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """One sub-prompt of `a AND b`: its weight multiplies its pull away from the negative prompt."""

    encoded: Encoded
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Encoded prompts, step by step. A text that stays the same over steps is the same object in each of them.

    Texts may differ in length: those of equal length go through the denoiser together, others apart, since filling
    them up would change the picture.
    """

    positive: tuple[tuple[Weighted, ...], ...]
    """For each step (0-based) the sub-prompts that hold there; the last entry holds for all later steps too."""
    negative: tuple[Encoded, ...] | None
    """Likewise; None where guidance is off: then the denoiser runs on the positive prompt only."""

    @classmethod
    def constant(cls, positive: Encoded, negative: Encoded | None = None) -> "Conditioning":
        """The same at every step, without sub-prompts."""
        return cls(((Weighted(positive),),), None if negative is None else (negative,))

    def at(self, step: int) -> tuple[tuple[Weighted, ...], Encoded | None]:
        """The sub-prompts and the negative prompt of a step."""
        positive = self.positive[min(step, len(self.positive) - 1)]
        if self.negative is None:
            return positive, None
        return positive, self.negative[min(step, len(self.negative) - 1)]
