"""Pictures of unfinished latents, cheap enough not to be noticed."""

import time
from collections.abc import Callable

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
        clean = predict_clean(step)[:1]
        now = self._clock()
        if self._parts.preview is None:
            return self._coarse(clean)
        if self._spent + self._cost > SHARE * (now - self._began):
            return None if self._spent else self._coarse(clean)
        preview = self._parts.preview
        pixels = preview.decode((clean / preview.config.scaling_factor).to(preview.dtype)).sample
        self._cost = self._clock() - now
        self._spent += self._cost
        return to_image(pixels[0].float() / 2 + 0.5)

    def _coarse(self, clean: torch.Tensor) -> Image.Image:
        if self._parts.latent_rgb is None:
            self._parts.latent_rgb = fit_latent_rgb(self._parts)
        colours = torch.einsum("chw,cr->rhw", _with_one(clean)[0], self._parts.latent_rgb)
        small = to_image(colours)
        scale = 2 ** (len(self._parts.vae.config.block_out_channels) - 1)
        return small.resize((small.width * scale, small.height * scale), Image.Resampling.BICUBIC)


def predict_clean(step: Step) -> torch.Tensor:
    """The picture's latents as the denoiser takes them to be at this step: (n, channels, height, width).

    `model_input` is x = (clean + sigma * noise) / sqrt(1 + sigma**2) for every sampler, since that is what a model
    is trained on; the answer is the noise, the velocity (arXiv 2202.00512) or the clean latents.
    """
    guided, sigma = step.guided, step.sigma
    seen = step.model_input[: len(guided), : guided.shape[1]].float()
    scale = (1 + sigma**2) ** 0.5
    match step.parts.scheduler_config.get("prediction_type", "epsilon"):
        case "v_prediction":
            return seen / scale - guided * (sigma / scale)
        case "sample":
            return guided
        case _:
            return seen * scale - guided * sigma


def fit_latent_rgb(parts: Parts) -> torch.Tensor:
    """(channels + 1, 3): the straight map from latents and a constant 1 to colours from 0 to 1 that fits the decoder best.

    Least squares over patches of random colour, as the model's own decoder (the small one where there is one)
    shows them; so it fits every autoencoder, also one that nobody has made a table for.
    """
    decoder = parts.preview or parts.vae
    channels = decoder.config.latent_channels
    # Few and small, since a large decoder takes its time: this is the wait for the first preview of a model.
    patches = torch.randn((4, channels, 3, 3), generator=torch.Generator().manual_seed(0))
    latents = patches.repeat_interleave(2, -1).repeat_interleave(2, -2)
    given = latents.to(parts.device, decoder.dtype) / decoder.config.scaling_factor
    shown = decoder.decode(given).sample.float().clamp(-1, 1) / 2 + 0.5
    small = torch.nn.functional.adaptive_avg_pool2d(shown, latents.shape[-2:]).cpu()
    rows = _with_one(latents).permute(0, 2, 3, 1).flatten(0, 2).double()
    colours = small.permute(0, 2, 3, 1).flatten(0, 2).double()
    square = rows.T @ rows + 1e-3 * torch.eye(rows.shape[1], dtype=rows.dtype)
    return torch.linalg.solve(square, rows.T @ colours).float().to(parts.device)


def to_image(pixels: torch.Tensor) -> Image.Image:
    """(3, height, width) of numbers from 0 to 1, anything beyond cut off, to a picture."""
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def _with_one(latents: torch.Tensor) -> torch.Tensor:
    return torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)
