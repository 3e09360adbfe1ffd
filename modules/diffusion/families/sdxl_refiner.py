"""The refiner of Stable Diffusion XL: the second text encoder alone, and how pleasing the picture is to be.

Podell et al., arXiv 2307.01952, section 2.5. It is made for the last steps, where there is little noise left.
"""

from modules.diffusion.conditioning import Conditioning
from modules.diffusion.families.micro import told
from modules.diffusion.families.sdxl import LAYER
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

SCORE, NEGATIVE_SCORE = 6.0, 2.5
"""Of 10, by the predictor of the LAION data sets; the values that the model was published with."""


def encode(
    parts: Parts,
    request: GenerationRequest,
    run: Pass | None = None,
    text_key: tuple[str, ...] | None = None,
    size: tuple[int, int] | None = None,
) -> Conditioning:
    """See `sdxl.encode`; the scores take the place of the target's size."""
    reads = TextEncoder(
        parts.tokenizer_2,
        parts.text_encoder_2,
        slot=1,
        layer=max(LAYER, request.clip_skip),
        norm=False,
        pooled=True,
    )
    width, height = size or (request.width or 0, request.height or 0)
    texts = encoder(parts, request, [reads], text_key)
    return condition(
        request.prompt,
        request.negative_prompt if (request.cfg_scale or 0.0) > 1 else None,
        run or first_pass(request),
        told(texts, parts, (height, width, 0, 0, SCORE)),
        told(texts, parts, (height, width, 0, 0, NEGATIVE_SCORE), zeros=True),
    )
