"""Stable Diffusion 1.x: CLIP text encoder, UNet with cross-attention, autoencoder of 8 pixels to a latent.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv 2112.10752.
"""

import torch
from PIL import Image

from modules.diffusion.conditioning import Conditioning
from modules.diffusion.parts import Parts
from modules.diffusion.previews import to_image
from modules.diffusion.prompts import encode as prompts
from modules.schema import GenerationRequest


def encode(parts: Parts, request: GenerationRequest) -> Conditioning:
    """The prompt, and the negative prompt where guidance is on (`cfg_scale` above 1), as the denoiser reads them.

    Raises:
        UserError: more layers of the text encoder are to be skipped than it has.
    """
    texts = [request.prompt]
    if (request.cfg_scale or 0.0) > 1:
        texts.append(request.negative_prompt)
    encoded = prompts.encode(parts, texts, request.clip_skip)
    return Conditioning(encoded[0], encoded[1] if len(encoded) > 1 else None)


def scale(parts: Parts) -> int:
    """Pixels to a latent, along each side."""
    return int(2 ** (len(parts.vae.config.block_out_channels) - 1))


def latent_shape(parts: Parts, width: int, height: int) -> tuple[int, int, int]:
    """Channels, height and width of the latents of a picture of at least `width` x `height` pixels."""
    side = scale(parts)
    return int(parts.unet.config.in_channels), -(-height // side), -(-width // side)


def decode(parts: Parts, latents: torch.Tensor) -> torch.Tensor:
    """(n, 3, height, width) of numbers around 0 to 1, float32.

    One picture at a time: the decoder is where most memory goes, and pictures gain nothing from being together.
    """
    scaled = (latents / parts.vae.config.scaling_factor).to(parts.vae.dtype)
    pixels = [parts.vae.decode(one).sample.float() for one in scaled.split(1)]
    return torch.cat(pixels) / 2 + 0.5


def to_images(pixels: torch.Tensor, width: int, height: int) -> list[Image.Image]:
    """Pictures of exactly `width` x `height`, cut from the middle."""
    top = (pixels.shape[-2] - height) // 2
    left = (pixels.shape[-1] - width) // 2
    return [to_image(one[:, top : top + height, left : left + width]) for one in pixels]
