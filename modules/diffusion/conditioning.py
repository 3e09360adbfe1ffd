"""What the denoiser is told to draw, and to avoid."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts: `positive` and `negative` are (1, tokens, width), of equal length.

    `negative` is None where guidance is off: then the denoiser runs on the positive prompt only.
    """

    positive: torch.Tensor
    negative: torch.Tensor | None

    @property
    def copies(self) -> int:
        """How many times a picture's latents go through the denoiser at each step: 2 with guidance, else 1."""
        return 1 if self.negative is None else 2

    def for_batch(self, count: int) -> torch.Tensor:
        """(copies * count, tokens, width), the negative half first, to be fed together with `count` pictures."""
        positive = self.positive.expand(count, -1, -1)
        if self.negative is None:
            return positive
        return torch.cat([self.negative.expand(count, -1, -1), positive])
