"""Pictures of unfinished latents, cheap enough not to be noticed."""

import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from modules.diffusion.adapter import Step
from modules.diffusion.parts import Parts

# The fine preview (a decoder) is used while it takes at most this share of the time; else the map of colours.
SHARE = 0.1


class Previewer:
    """Makes the previews of one generation, of the first picture in the batch.

    The small decoder of the model is used as often as `SHARE` allows: at each step of a large model, at some of a
    small and fast one. Before its first picture, and for a model without one, there is a straight map from latents
    to colours, which costs next to nothing; not after it, since sharp and blurred in turn would flicker.
    """

    def __init__(self, parts: Parts, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._parts = parts
        self._clock = clock
        self._began = clock()
        self._spent = 0.0
        self._cost = 0.0

    def picture(self, step: Step) -> Image.Image | None:
        """What the picture looks like after `step`, in its full size but for cropping; None: keep the last one."""
        clean = step.denoised[:1]
        now = self._clock()
        if self._parts.preview is None:
            return self._coarse(clean)
        if self._spent + self._cost > SHARE * (now - self._began):
            return None if self._spent else self._coarse(clean)
        preview = self._parts.preview
        pixels = preview.decode(unscaled(preview, clean).to(preview.dtype)).sample
        self._cost = self._clock() - now
        self._spent += self._cost
        return to_image(pixels[0].float() / 2 + 0.5)

    def _coarse(self, clean: torch.Tensor) -> Image.Image:
        if self._parts.latent_rgb is None:
            self._parts.latent_rgb = fit_latent_rgb(self._parts)
        scale = 2 ** (len(self._parts.vae.config.block_out_channels) - 1)
        return coarse(clean, self._parts.latent_rgb, scale)


def coarse(clean: torch.Tensor, latent_rgb: torch.Tensor, scale: int) -> Image.Image:
    """The picture of the first of `clean` by a map of colours (`fit_colours`), `scale` pixels to a latent."""
    colours = torch.einsum("chw,cr->rhw", _with_one(clean)[0], latent_rgb)
    small = to_image(colours)
    return small.resize((small.width * scale, small.height * scale), Image.Resampling.BICUBIC)


def fit_latent_rgb(parts: Parts) -> torch.Tensor:
    """`fit_colours` of the model's decoder, the small one where there is one."""
    decoder = parts.preview or parts.vae

    def decode(latents: torch.Tensor) -> torch.Tensor:
        given = unscaled(decoder, latents.to(parts.device)).to(decoder.dtype)
        return decoder.decode(given).sample.float() / 2 + 0.5

    return fit_colours(decode, decoder.config.latent_channels).to(parts.device)


def fit_colours(decode: Callable[[torch.Tensor], torch.Tensor], channels: int) -> torch.Tensor:
    """(channels + 1, 3): the straight map from latents and a constant 1 to colours from 0 to 1 that fits the decoder best.

    Least squares over patches of random colour, as the decoder shows them; so it fits every autoencoder, also one
    that nobody has made a table for.

    Args:
        decode: latents to pictures around 0 to 1.
    """
    # Few and small, since a large decoder takes its time: this is the wait for the first preview of a model.
    patches = torch.randn((4, channels, 3, 3), generator=torch.Generator().manual_seed(0))
    latents = patches.repeat_interleave(2, -1).repeat_interleave(2, -2)
    shown = decode(latents).clamp(0, 1)
    small = torch.nn.functional.adaptive_avg_pool2d(shown, latents.shape[-2:]).cpu()
    rows = _with_one(latents).permute(0, 2, 3, 1).flatten(0, 2).double()
    colours = small.permute(0, 2, 3, 1).flatten(0, 2).double()
    square = rows.T @ rows + 1e-3 * torch.eye(rows.shape[1], dtype=rows.dtype)
    return torch.linalg.solve(square, rows.T @ colours).float()


def unscaled(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents of the denoiser's scale on the autoencoder's own."""
    found = latents / vae.config.scaling_factor
    shift = getattr(vae.config, "shift_factor", None)
    return found + shift if shift else found


def to_image(pixels: torch.Tensor) -> Image.Image:
    """(3, height, width) of numbers from 0 to 1, anything beyond cut off, to a picture."""
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def _with_one(latents: torch.Tensor) -> torch.Tensor:
    return torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)
