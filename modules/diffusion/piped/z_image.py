"""Z-Image and Z-Image Turbo (Tongyi-MAI): Qwen3 reads the prompt as one message of a conversation."""

from typing import Any

import torch

from modules.diffusion.capabilities import plain
from modules.diffusion.parts import Parts
from modules.diffusion.piped.packing import blocks_scale as scale
from modules.diffusion.piped.packing import decode_kl as decode
from modules.diffusion.piped.packing import even_shape, scheduler
from modules.schema import GenerationRequest

__all__ = ["decode", "latent_shape", "options", "pack", "pipeline", "scale", "texts", "unpack"]


def pipeline(parts: Parts) -> Any:
    """See `Piped`."""
    from diffusers.pipelines.z_image.pipeline_z_image import ZImagePipeline

    return ZImagePipeline(
        scheduler=scheduler(parts),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        transformer=parts.unet,
    )


def texts(pipe: Any, prompt: str, request: GenerationRequest) -> dict[str, Any]:
    """See `Piped`."""
    whole, negative = pipe.encode_prompt(
        prompt,
        do_classifier_free_guidance=(request.cfg_scale or 0.0) > 1,
        negative_prompt=plain(request.negative_prompt),
    )
    return {"prompt_embeds": whole, "negative_prompt_embeds": negative}


def options(pipe: Any, request: GenerationRequest) -> dict[str, Any]:
    """See `Piped`. Its pipeline counts guidance from 0 where others begin with 1."""
    return {"guidance_scale": max(0.0, (request.cfg_scale or 0.0) - 1)}


def latent_shape(parts: Parts, width: int, height: int) -> tuple[int, int, int]:
    """See `Piped`."""
    return even_shape(int(parts.unet.config.in_channels), scale(parts), width, height)


def pack(latents: torch.Tensor) -> torch.Tensor:
    """See `Piped`: the pipeline takes them as they are."""
    return latents


def unpack(latents: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """See `Piped`."""
    return latents
