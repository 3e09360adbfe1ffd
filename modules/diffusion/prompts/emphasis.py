"""What a weight does to a token: its vector is multiplied by it."""

import torch

from modules.diffusion.prompts.parse import Emphasis


def emphasise(
    hidden: torch.Tensor, weights: torch.Tensor, emphasis: Emphasis = "original"
) -> torch.Tensor:
    """Multiply the tokens' vectors by their weights; "original" then scales each chunk so that its mean is what it was.

    The mean is kept since the denoiser was trained on it, and so it is in most pictures that people want again; but
    near a mean of zero the scale runs away, as in SDXL's text encoders, for which "no_norm" is the better choice.

    Args:
        hidden: (chunks, tokens, width)
        weights: (chunks, tokens)
    """
    if (weights == 1).all():
        return hidden  # exactly, not only nearly, what the encoder gave
    wide = hidden.float()
    weighted = wide * weights.unsqueeze(-1)
    if emphasis != "original":
        return weighted
    ratio = wide.mean((1, 2), keepdim=True) / weighted.mean((1, 2), keepdim=True)
    # A mean of zero has no scale: such a chunk keeps its weights and is not scaled.
    return weighted * torch.where(torch.isfinite(ratio), ratio, 1.0)
