"""From prompts to what the denoiser reads."""

from collections.abc import Sequence
from typing import Any

import torch

from modules.diffusion.parts import Parts
from modules.diffusion.prompts import tokens
from modules.diffusion.prompts.parse import parse
from modules.errors import LimitError

AT_ONCE = 16
"""Chunks that go through the text encoder together: bounds the memory that a very long prompt takes."""


def encode(parts: Parts, texts: Sequence[str], clip_skip: int = 1) -> list[torch.Tensor]:
    """One (1, tokens, width) per text, all of the same length: shorter ones are filled up with empty chunks.

    Args:
        clip_skip: 1 takes the encoder's last layer, 2 the one before it, and so on (the last norm is always applied).

    Raises:
        LimitError: the encoder has fewer layers.
    """
    layers = parts.text_encoder.config.num_hidden_layers
    if clip_skip > layers:
        raise LimitError("error.clip_skip", found=clip_skip, most=layers)
    room = parts.text_encoder.config.max_position_embeddings - 2
    cut = [tokens.chunks(parts.tokenizer, parse(text), room) for text in texts]
    longest = max(len(chunks) for chunks in cut)
    empty = tokens.finish_chunk(parts.tokenizer, (), room)
    rows = [chunk for chunks in cut for chunk in (chunks + [empty] * longest)[:longest]]
    ids = torch.tensor([chunk.ids for chunk in rows], device=parts.device)
    hidden = torch.cat(
        [_hidden(parts.text_encoder, part, clip_skip) for part in ids.split(AT_ONCE)]
    )
    weights = torch.tensor([chunk.weights for chunk in rows], device=parts.device)
    weighted = emphasise(hidden, weights).to(parts.dtype)
    return [part.flatten(0, 1).unsqueeze(0) for part in weighted.split(longest)]


def emphasise(hidden: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Multiply the tokens' vectors by their weights, then scale each chunk so that its mean is what it was.

    The mean is kept since the denoiser was trained on it; this is what the A1111 family calls "Original" emphasis.

    Args:
        hidden: (chunks, tokens, width)
        weights: (chunks, tokens)
    """
    if (weights == 1).all():
        return hidden  # exactly, not only nearly, what the encoder gave
    wide = hidden.float()
    weighted = wide * weights.unsqueeze(-1)
    ratio = wide.mean((1, 2), keepdim=True) / weighted.mean((1, 2), keepdim=True)
    # A mean of zero has no scale: such a chunk keeps its weights and is not scaled.
    return weighted * torch.where(torch.isfinite(ratio), ratio, 1.0)


def _hidden(text_encoder: Any, ids: torch.Tensor, clip_skip: int) -> torch.Tensor:
    if clip_skip == 1:
        last: torch.Tensor = text_encoder(input_ids=ids).last_hidden_state
        return last
    layers = text_encoder(input_ids=ids, output_hidden_states=True).hidden_states
    # transformers 5 took the wrapper `text_model` away.
    normed: torch.Tensor = getattr(text_encoder, "text_model", text_encoder).final_layer_norm(
        layers[-clip_skip]
    )
    return normed
