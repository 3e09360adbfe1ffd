"""What the UNet families (SD 1.x, 2.x, SDXL) have in common: latents, autoencoder, the call of the denoiser."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from modules.diffusion.parts import Parts
from modules.diffusion.previews import to_image, unscaled


def scale(parts: Parts) -> int:
    """Pixels to a latent, along each side."""
    return int(2 ** (len(parts.vae.config.block_out_channels) - 1))


def latent_shape(parts: Parts, width: int, height: int) -> tuple[int, int, int]:
    """Channels, height and width of the latents of a picture of at least `width` x `height` pixels.

    The channels are those that the denoiser answers with: a special model reads more than it gives.
    """
    side = scale(parts)
    return int(parts.unet.config.out_channels), -(-height // side), -(-width // side)


def decode(parts: Parts, latents: torch.Tensor) -> torch.Tensor:
    """(n, 3, height, width) of numbers around 0 to 1, float32.

    One picture at a time: the decoder is where most memory goes, and pictures gain nothing from being together.
    """
    scaled = unscaled(parts.vae, latents).to(parts.vae.dtype)
    pixels = [parts.vae.decode(one).sample.float() for one in scaled.split(1)]
    return torch.cat(pixels) / 2 + 0.5


def encode_images(
    parts: Parts,
    pixels: torch.Tensor,
    generators: Sequence[torch.Generator] | None = None,
    *,
    scaled: bool = True,
) -> torch.Tensor:
    """The latents of pictures: (n, channels, height, width), float32, on the model's device.

    Args:
        pixels: (n, 3, height, width) of numbers from 0 to 1; sides are multiples of `scale(parts)`.
        generators: one per picture, on the CPU: a draw from the autoencoder's distribution, as img2img wants it.
            None takes the distribution's middle.
        scaled: times the model's scaling factor, as the denoiser's noisy input is; the further input of an
            InstructPix2Pix model of the SD families is not scaled.
    """
    found = []
    for index, one in enumerate((pixels * 2 - 1).split(1)):
        answer = parts.vae.encode(one.to(parts.device, parts.vae.dtype))
        spread = getattr(answer, "latent_dist", None)
        if spread is None:  # AutoencoderTiny gives latents, not a distribution
            latents = answer.latents
        elif generators is None:
            latents = spread.mode()
        else:
            noise = torch.randn(
                spread.mean.shape, generator=generators[index], dtype=spread.mean.dtype
            )
            latents = spread.mean + spread.std * noise.to(spread.mean.device)
        found.append(latents.float())
    if not scaled:
        return torch.cat(found)
    shift = getattr(parts.vae.config, "shift_factor", None) or 0.0
    return (torch.cat(found) - shift) * float(parts.vae.config.scaling_factor)


def predict(
    parts: Parts,
    model_input: torch.Tensor,
    timestep: torch.Tensor | float,
    conditioning: torch.Tensor,
    added: Mapping[str, torch.Tensor],
    model_kwargs: Mapping[str, Any],
) -> torch.Tensor:
    """One call of the denoiser: (rows, channels, height, width), float32.

    Args:
        model_input: (rows, channels, height, width), further input channels included.
        timestep: on the training scale (0 to 999).
        conditioning: (rows, tokens, width).
        added: (rows, ...) each, `Encoded.added` of the rows.
        model_kwargs: further keyword arguments (`Step.model_kwargs`); its own `added_cond_kwargs` go over `added`.
    """
    # Lists anew: diffusers takes the residuals of T2I-Adapters out of theirs, and the call may be asked again.
    options: dict[str, Any] = {
        name: list(given) if isinstance(given, list) else given
        for name, given in model_kwargs.items()
    }
    beside = {**added, **(options.pop("added_cond_kwargs", None) or {})}
    if beside:
        options["added_cond_kwargs"] = beside
    (answer,) = parts.unet(
        model_input.to(parts.dtype),
        timestep,
        encoder_hidden_states=conditioning.to(parts.dtype),
        return_dict=False,
        **options,
    )
    return answer.float()


def to_images(pixels: torch.Tensor, width: int, height: int) -> list[Image.Image]:
    """Pictures of exactly `width` x `height`, cut from the middle."""
    top = (pixels.shape[-2] - height) // 2
    left = (pixels.shape[-1] - width) // 2
    return [to_image(one[:, top : top + height, left : left + width]) for one in pixels]
