"""Stable Diffusion 3 and 3.5: a transformer that reads two CLIP encoders and T5, trained on straight paths.

Esser et al., "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", arXiv 2403.03206.
T5 may be left out: its place is then filled with zeros, as it was in part of the training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from modules.diffusion.conditioning import Conditioning, Encoded
from modules.diffusion.families.sdxl import LAYER
from modules.diffusion.families.shared import (
    decode,
    encode_images,
    latent_shape,
    scale,
    to_images,
)
from modules.diffusion.flow import levels, model_input, to_denoised
from modules.diffusion.parts import Parts
from modules.diffusion.prompts.cache import Encode
from modules.diffusion.prompts.condition import condition, encoder, first_pass
from modules.diffusion.prompts.encode import TextEncoder
from modules.diffusion.prompts.long import long_encoder
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
    """See `sd1.encode`. CLIP's tokens come first, filled up with zeros to T5's width, then T5's.

    The last but one layer of CLIP is what the denoiser was trained on; a clip skip of 1 means no less.
    """
    layer = max(LAYER, request.clip_skip)
    reads = [
        TextEncoder(parts.tokenizer, parts.text_encoder, layer=layer, norm=False, pooled=True),
        TextEncoder(
            parts.tokenizer_2, parts.text_encoder_2, slot=1, layer=layer, norm=False, pooled=True
        ),
    ]
    width = int(parts.unet.config.joint_attention_dim)
    texts = _side_by_side(
        encoder(parts, request, reads, text_key),
        long_encoder(parts, request, parts.tokenizer_3, parts.text_encoder_3, width, text_key),
    )
    return condition(
        request.prompt,
        request.negative_prompt if (request.cfg_scale or 0.0) > 1 else None,
        run or first_pass(request),
        texts,
    )


def predict(
    parts: Parts,
    model_input: torch.Tensor,
    timestep: torch.Tensor | float,
    conditioning: torch.Tensor,
    added: Mapping[str, torch.Tensor],
    model_kwargs: Mapping[str, Any],
) -> torch.Tensor:
    """See `shared.predict`; the answer is the velocity, noise - clean.

    The denoiser works on patches of latents. Where a side is not a whole number of them its edge is continued.

    Args:
        timestep: from 0 to 1000.
    """
    options = dict(model_kwargs)
    beside = {**added, **(options.pop("added_cond_kwargs", None) or {})}
    high, wide = model_input.shape[-2:]
    patch = int(parts.unet.config.patch_size)
    given = model_input
    if high % patch or wide % patch:
        given = F.pad(given, (0, -wide % patch, 0, -high % patch), mode="replicate")
    time = torch.as_tensor(timestep, dtype=torch.float32, device=given.device)
    (answer,) = parts.unet(
        hidden_states=given.to(parts.dtype),
        timestep=time.expand(len(given)),
        encoder_hidden_states=conditioning.to(parts.dtype),
        pooled_projections=beside["text_embeds"].to(parts.dtype),
        return_dict=False,
        **options,
    )
    return answer.float()[..., :high, :wide]


def _side_by_side(clip: Encode, long: Encode) -> Encode:
    def run(texts: Sequence[str]) -> list[Encoded]:
        return [
            Encoded(_joined(one.tokens, other.tokens), one.added)
            for one, other in zip(clip(texts), long(texts), strict=True)
        ]

    return run


def _joined(clip: torch.Tensor, long: torch.Tensor) -> torch.Tensor:
    filled = F.pad(clip, (0, long.shape[-1] - clip.shape[-1]))
    return torch.cat([filled, long], dim=1)
