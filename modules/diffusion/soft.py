"""Soft inpainting: blend by how much the picture really changes, instead of by a hard mask."""

import torch
import torch.nn.functional as F

from modules.schema import SoftInpainting


def blend(
    original: torch.Tensor,
    new: torch.Tensor,
    mask: torch.Tensor,
    sigma: float,
    options: SoftInpainting,
) -> torch.Tensor:
    """Latents between the original's and the new ones, (n, channels, height, width).

    At much noise a half masked place follows the original, which settles what is there; towards the end it is free,
    so that the new part can grow into its surroundings. Where the mask is 0 the original stays.

    Args:
        mask: (1, 1, height, width) from 0 to 1.
        sigma: noise level, where the picture's is 1.
    """
    power = float(sigma) ** options.schedule_bias * options.preservation_strength
    share = torch.where(mask > 0, mask.clamp(min=1e-6) ** power, torch.zeros_like(mask))
    mixed = original * (1 - share) + new * share
    # The mean of two unlike vectors is short, which looks washed out; so its length is mixed apart, by a power mean.
    boost = options.transition_contrast_boost
    lengths = (_length(original) ** boost * (1 - share) + _length(new) ** boost * share) ** (
        1 / boost
    )
    found = mixed * (lengths / _length(mixed).clamp(min=1e-6))
    return torch.where(share <= 0, original, torch.where(share >= 1, new, found))


def composite_mask(
    original: torch.Tensor,
    new: torch.Tensor,
    mask: torch.Tensor,
    size: tuple[int, int],
    options: SoftInpainting,
) -> torch.Tensor:
    """(n, 1, height, width) from 0 to 1 for laying the new pictures over the original.

    Args:
        original, new: latents without noise, (n, channels, h, w).
        mask: (1, 1, height, width) in pixels.
        size: height and width in pixels.
    """
    change = _length(new - original) / original.shape[1] ** 0.5
    # Over a neighbourhood, so that one latent that happens to agree leaves no hole.
    change = F.avg_pool2d(F.pad(change, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    threshold = max(options.difference_threshold, 1e-6)
    share = (change / threshold).clamp(0, 1) ** options.difference_contrast
    share = F.interpolate(share, size=size, mode="bilinear").clamp(0, 1)
    share = share * (1 - options.mask_influence) + mask * options.mask_influence
    return torch.where(mask > 0, share, torch.zeros_like(share))


def _length(latents: torch.Tensor) -> torch.Tensor:
    return latents.square().sum(dim=1, keepdim=True).sqrt()
