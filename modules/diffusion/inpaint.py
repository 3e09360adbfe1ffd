"""Inpainting in latents: what the masked part begins with, what keeps the rest, and what special models are shown."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from modules.diffusion import soft
from modules.diffusion.adapter import Adapter, Step
from modules.schema import SoftInpainting
from modules.schema.options import MaskedContent


def pixel_mask(mask: Image.Image) -> torch.Tensor:
    """(1, 1, height, width) from 0 to 1; 1 is made anew."""
    return torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255)[None, None]


def latent_mask(mask: torch.Tensor, shape: tuple[int, ...], *, hard: bool) -> torch.Tensor:
    """A pixel mask for latents of `shape`: the mean over each latent's pixels, rounded when `hard`."""
    found = F.interpolate(mask, size=shape[-2:], mode="area")
    return (found >= 0.5).float() if hard else found


def first_latents(
    content: MaskedContent, clean: torch.Tensor, mask: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """What the masked part begins with, as latents without noise; "fill" and "original" are in the picture already.

    Args:
        clean: (n, channels, height, width), the picture's.
        noise: of the same shape, standard normal.
    """
    match content:
        case "latent_noise":
            return clean * (1 - mask) + noise * mask
        case "latent_nothing":
            return clean * (1 - mask)
        case _:
            return clean


class Keep(Adapter):
    """Holds what the mask leaves alone to the picture, step by step."""

    name = "inpaint"
    order = 1_000_000  # nothing after it may move what is to stay

    def __init__(
        self, clean: torch.Tensor, mask: torch.Tensor, options: SoftInpainting | None
    ) -> None:
        """`clean`: (n, channels, height, width), the picture's latents; `mask`: (1, 1, height, width)."""
        self._clean = clean
        self._mask = mask
        self._options = options

    def after_guidance(self, step: Step) -> None:
        """Put the picture's latents where nothing is to change."""
        clean = self._clean[: len(step.denoised)]
        if self._options is None:
            step.denoised = step.denoised * self._mask + clean * (1 - self._mask)
        else:
            step.denoised = soft.blend(clean, step.denoised, self._mask, step.sigma, self._options)


def hidden(pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The picture as a 9-channel model is shown it: grey where it is to be made anew.

    Args:
        pixels: (1, 3, height, width) from 0 to 1.
        mask: (1, 1, height, width).
    """
    return torch.where(mask < 0.5, pixels, torch.full_like(pixels, 0.5))


def inpaint_channels(
    mask: torch.Tensor, hidden_latents: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor:
    """(1, 1 + channels, height, width): the mask and the latents of `hidden`, for UNets of 9 channels.

    Rombach et al., arXiv 2112.10752, section 4.5; the order is that of the published checkpoints.
    """
    small = F.interpolate((mask >= 0.5).float(), size=shape[-2:], mode="nearest")
    return torch.cat([small.to(hidden_latents), hidden_latents], dim=1)
