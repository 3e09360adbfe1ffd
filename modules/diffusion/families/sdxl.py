"""Stable Diffusion XL, base model: two text encoders side by side, and the picture's size as a condition.

Podell et al., "SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis", arXiv 2307.01952.
"""

from modules.diffusion.conditioning import Conditioning
from modules.diffusion.families.micro import told
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

LAYER = 2
"""The last but one layer is what the denoiser was trained on; a clip skip of 1 means no less, as elsewhere."""


def encode(
    parts: Parts,
    request: GenerationRequest,
    run: Pass | None = None,
    text_key: tuple[str, ...] | None = None,
    size: tuple[int, int] | None = None,
) -> Conditioning:
    """See `sd1.encode`. The picture is said to be made at `size` (width, height; None is the request's), uncropped.

    An empty negative prompt is zeros, as in training.
    """
    layer = max(LAYER, request.clip_skip)
    reads = [
        TextEncoder(parts.tokenizer, parts.text_encoder, layer=layer, norm=False),
        TextEncoder(
            parts.tokenizer_2, parts.text_encoder_2, slot=1, layer=layer, norm=False, pooled=True
        ),
    ]
    width, height = size or (request.width or 0, request.height or 0)
    numbers = (height, width, 0, 0, height, width)
    texts = encoder(parts, request, reads, text_key)
    return condition(
        request.prompt,
        request.negative_prompt if (request.cfg_scale or 0.0) > 1 else None,
        run or first_pass(request),
        told(texts, parts, numbers),
        told(texts, parts, numbers, zeros=True),
    )
