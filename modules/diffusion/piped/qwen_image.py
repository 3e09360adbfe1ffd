"""Qwen-Image (Qwen team): Qwen2.5-VL reads the prompt; the autoencoder is one of films, with a single frame."""

from typing import Any

import torch

from modules.diffusion.capabilities import plain
from modules.diffusion.parts import Parts
from modules.diffusion.piped.packing import even_shape, pack, scheduler, unpack
from modules.schema import GenerationRequest

__all__ = ["decode", "latent_shape", "options", "pack", "pipeline", "scale", "texts", "unpack"]

TOKENS = 1024
NOTHING = " "
"""The negative prompt where there is none, as the model's authors have it."""


def pipeline(parts: Parts) -> Any:
    """See `Piped`."""
    from diffusers.pipelines.qwenimage.pipeline_qwenimage import QwenImagePipeline

    return QwenImagePipeline(
        scheduler=scheduler(parts),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        transformer=parts.unet,
    )


def texts(pipe: Any, prompt: str, request: GenerationRequest) -> dict[str, Any]:
    """See `Piped`."""
    found = _read(pipe, prompt, "")
    if (request.cfg_scale or 0.0) > 1:
        found |= _read(pipe, plain(request.negative_prompt) or NOTHING, "negative_")
    return found


def _read(pipe: Any, text: str, start: str) -> dict[str, Any]:
    # The mask is None where every token counts, as with one text it does; said, the pipeline need not warn.
    whole, mask = pipe.encode_prompt(text, max_sequence_length=TOKENS)
    if mask is None:
        mask = torch.ones(whole.shape[:2], dtype=torch.long, device=whole.device)
    return {f"{start}prompt_embeds": whole, f"{start}prompt_embeds_mask": mask}


def options(pipe: Any, request: GenerationRequest) -> dict[str, Any]:
    """See `Piped`."""
    found = {"true_cfg_scale": request.cfg_scale or 0.0, "max_sequence_length": TOKENS}
    if pipe.transformer.config.guidance_embeds:
        found["guidance_scale"] = 1.0
    return found


def latent_shape(parts: Parts, width: int, height: int) -> tuple[int, int, int]:
    """See `Piped`."""
    return even_shape(int(parts.unet.config.in_channels) // 4, scale(parts), width, height)


def scale(parts: Parts) -> int:
    """See `Piped`."""
    return int(2 ** len(parts.vae.config.temperal_downsample))


def decode(parts: Parts, latents: torch.Tensor) -> torch.Tensor:
    """See `Piped`. The denoiser's latents are normalised channel by channel."""
    config = parts.vae.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1).to(latents)
    spread = torch.tensor(config.latents_std).view(1, -1, 1, 1).to(latents)
    own = (latents * spread + mean).to(parts.vae.dtype).unsqueeze(2)
    pixels = [parts.vae.decode(one).sample[:, :, 0].float() for one in own.split(1)]
    return torch.cat(pixels) / 2 + 0.5
