"""Stable Diffusion 1.x: CLIP text encoder, UNet with cross-attention, autoencoder of 8 pixels to a latent.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv 2112.10752.
"""

from modules.diffusion.conditioning import Conditioning
from modules.diffusion.families.shared import (
    decode,
    encode_images,
    latent_shape,
    predict,
    scale,
    to_images,
)
from modules.diffusion.noising import levels, model_input, to_denoised
from modules.diffusion.parts import Parts
from modules.diffusion.prompts.condition import condition, encoder, first_pass
from modules.diffusion.prompts.encode import TextEncoder
from modules.diffusion.prompts.schedule import Pass
from modules.schema import GenerationRequest

__all__ = [
    "decode",
    "encode",
    "encode_images",
    "latent_shape",
    "levels",
    "model_input",
    "predict",
    "scale",
    "to_denoised",
    "to_images",
]


def encode(
    parts: Parts,
    request: GenerationRequest,
    run: Pass | None = None,
    text_key: tuple[str, ...] | None = None,
    size: tuple[int, int] | None = None,
) -> Conditioning:
    """The prompt, and the negative prompt where guidance is on (`cfg_scale` above 1), as the denoiser reads them.

    Args:
        run: which pass of the sampler the prompts are read for; None is the request's first.
        text_key: what `prompts.cache.text_key` says of the generation's adapters; None keeps nothing.

    Raises:
        LimitError: more layers of the text encoder are to be skipped than it has, or the prompts are too long.
    """
    reads = TextEncoder(parts.tokenizer, parts.text_encoder, layer=request.clip_skip)
    return condition(
        request.prompt,
        request.negative_prompt if (request.cfg_scale or 0.0) > 1 else None,
        run or first_pass(request),
        encoder(parts, request, [reads], text_key),
    )
