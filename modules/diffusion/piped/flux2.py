"""FLUX.2 dev (Mistral reads the prompt) and klein (Qwen3 does), by Black Forest Labs.

dev is told its guidance as a number. klein is guided against an empty prompt, with a second call per step, unless it
is distilled (`Parts.pipeline_config`): then there is no guidance.
"""

from typing import Any

import torch

from modules.diffusion.parts import Parts
from modules.diffusion.piped.packing import blocks_scale, scheduler
from modules.schema import GenerationRequest

__all__ = ["decode", "latent_shape", "options", "pack", "pipeline", "scale", "texts", "unpack"]


def pipeline(parts: Parts) -> Any:
    """See `Piped`."""
    from diffusers.pipelines.flux2.pipeline_flux2 import Flux2Pipeline
    from diffusers.pipelines.flux2.pipeline_flux2_klein import Flux2KleinPipeline

    made = {
        "scheduler": scheduler(parts),
        "vae": parts.vae,
        "text_encoder": parts.text_encoder,
        "tokenizer": parts.tokenizer,
        "transformer": parts.unet,
    }
    if type(parts.text_encoder).__name__.startswith("Mistral"):
        return Flux2Pipeline(**made)
    distilled = bool(parts.pipeline_config.get("is_distilled", False))
    return Flux2KleinPipeline(**made, is_distilled=distilled)


def texts(pipe: Any, prompt: str, request: GenerationRequest) -> dict[str, Any]:
    """See `Piped`."""
    found = {"prompt_embeds": pipe.encode_prompt(prompt)[0]}
    klein = "is_distilled" in pipe.config
    if klein and not pipe.config.is_distilled and (request.cfg_scale or 0.0) > 1:
        found["negative_prompt_embeds"] = pipe.encode_prompt("")[0]
    return found


def options(pipe: Any, request: GenerationRequest) -> dict[str, Any]:
    """See `Piped`."""
    return {"guidance_scale": request.cfg_scale or 0.0}


def latent_shape(parts: Parts, width: int, height: int) -> tuple[int, int, int]:
    """See `Piped`: a latent is a patch of 2 x 2 of the autoencoder's, with four times the channels."""
    side = scale(parts)
    return int(parts.unet.config.in_channels), -(-height // side), -(-width // side)


def scale(parts: Parts) -> int:
    """See `Piped`."""
    return 2 * blocks_scale(parts)


def pack(latents: torch.Tensor) -> torch.Tensor:
    """See `Piped`: the pipeline takes them as they are."""
    return latents


def unpack(latents: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """See `Piped`."""
    return latents.permute(0, 2, 1).reshape(-1, *shape)


def decode(parts: Parts, latents: torch.Tensor) -> torch.Tensor:
    """See `Piped`. The denoiser's latents are normalised by the running means of the autoencoder's batch norm."""
    norm = parts.vae.bn
    mean = norm.running_mean.view(1, -1, 1, 1).to(latents)
    variance = norm.running_var.view(1, -1, 1, 1).to(latents)
    own = latents * torch.sqrt(variance + parts.vae.config.batch_norm_eps) + mean
    count, channels, height, width = own.shape
    patches = own.reshape(count, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    whole = patches.reshape(count, channels // 4, height * 2, width * 2)
    pixels = [parts.vae.decode(one.to(parts.vae.dtype)).sample.float() for one in whole.split(1)]
    return torch.cat(pixels) / 2 + 0.5
