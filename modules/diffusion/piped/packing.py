"""Latents as rows of 2 x 2 patches, as the transformers of FLUX.1 and Qwen-Image read them."""

from typing import Any

import torch

from modules.diffusion.parts import Parts


def scheduler(parts: Parts) -> Any:
    """A scheduler for one run: it counts its steps, so it is never shared."""
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
        FlowMatchEulerDiscreteScheduler,
    )

    return FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config)


def even_shape(channels: int, side: int, width: int, height: int) -> tuple[int, int, int]:
    """Channels, height and width of latents, with even sides, of a picture of at least `width` x `height` pixels.

    Args:
        side: pixels to a latent.
    """
    return channels, 2 * -(-height // (2 * side)), 2 * -(-width // (2 * side))


def pack(latents: torch.Tensor) -> torch.Tensor:
    """(n, channels, height, width) to (n, height / 2 * width / 2, channels * 4)."""
    count, channels, height, width = latents.shape
    patches = latents.reshape(count, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * 4)


def unpack(latents: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """The inverse of `pack`: (n, *shape)."""
    channels, height, width = shape
    patches = latents.reshape(-1, height // 2, width // 2, channels, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, height, width)


def blocks_scale(parts: Parts) -> int:
    """Pixels to a latent of an AutoencoderKL."""
    return int(2 ** (len(parts.vae.config.block_out_channels) - 1))


def decode_kl(parts: Parts, latents: torch.Tensor) -> torch.Tensor:
    """Pictures, around 0 to 1, by an AutoencoderKL with a scale and a shift."""
    config = parts.vae.config
    own = latents / config.scaling_factor + (config.shift_factor or 0.0)
    pixels = [parts.vae.decode(one.to(parts.vae.dtype)).sample.float() for one in own.split(1)]
    return torch.cat(pixels) / 2 + 0.5
