"""FLUX.1 dev and schnell (Black Forest Labs): a pooled CLIP text and T5; guidance is a number told to the denoiser."""

from typing import Any

from modules.diffusion.parts import Parts
from modules.diffusion.piped.packing import blocks_scale as scale
from modules.diffusion.piped.packing import decode_kl as decode
from modules.diffusion.piped.packing import even_shape, pack, scheduler, unpack
from modules.schema import GenerationRequest

__all__ = ["decode", "latent_shape", "options", "pack", "pipeline", "scale", "texts", "unpack"]

TOKENS, FEW_TOKENS = 512, 256
"""Of T5; schnell was trained with few."""


def pipeline(parts: Parts) -> Any:
    """See `Piped`."""
    from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

    return FluxPipeline(
        scheduler=scheduler(parts),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        text_encoder_2=parts.text_encoder_2,
        tokenizer_2=parts.tokenizer_2,
        transformer=parts.unet,
    )


def texts(pipe: Any, prompt: str, request: GenerationRequest) -> dict[str, Any]:
    """See `Piped`."""
    tokens = TOKENS if pipe.transformer.config.guidance_embeds else FEW_TOKENS
    whole, pooled, _ = pipe.encode_prompt(prompt, max_sequence_length=tokens)
    return {"prompt_embeds": whole, "pooled_prompt_embeds": pooled}


def options(pipe: Any, request: GenerationRequest) -> dict[str, Any]:
    """See `Piped`."""
    return {"guidance_scale": request.cfg_scale or 0.0}


def latent_shape(parts: Parts, width: int, height: int) -> tuple[int, int, int]:
    """See `Piped`."""
    return even_shape(int(parts.unet.config.in_channels) // 4, scale(parts), width, height)
