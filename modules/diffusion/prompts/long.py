"""Texts through a T5 encoder: no chunks, since it reads texts of any length; weights as CLIP's prompts have them."""

from collections.abc import Sequence
from typing import Any

import torch

from modules.diffusion.conditioning import Encoded
from modules.diffusion.parts import Parts
from modules.diffusion.prompts.cache import Encode, cached
from modules.diffusion.prompts.emphasis import emphasise
from modules.diffusion.prompts.parse import parse
from modules.errors import LimitError
from modules.schema import GenerationRequest

ROOM = 256
"""Tokens are filled up to a multiple of these, as in training."""
MOST = 8192
"""Tokens of one text. Beyond, attention takes more memory than a model of this size has."""


def long_encoder(
    parts: Parts,
    request: GenerationRequest,
    tokenizer: Any,
    model: Any,
    width: int,
    text_key: tuple[str, ...] | None,
) -> Encode:
    """A function from plain texts to (1, tokens, width) each, with the model's cache.

    Args:
        model: transformers' T5EncoderModel; None gives zeros, as the denoiser was trained to do without.
        text_key: see `condition.encoder`.
    """
    # T5's vectors have a mean near zero, so the scale of "original" would run away.
    emphasis = "no_norm" if request.emphasis == "original" else request.emphasis

    def run(texts: Sequence[str]) -> list[Encoded]:
        return [one(text) for text in texts]

    def one(text: str) -> Encoded:
        if model is None:
            empty = torch.zeros((1, ROOM, width), device=parts.device, dtype=parts.dtype)
            return Encoded(empty)
        ids, weights = _tokens(
            tokenizer, [(each.text, each.weight) for each in parse(text, emphasis)]
        )
        given = torch.tensor([ids], device=parts.device)
        hidden = model(given).last_hidden_state
        scaled = emphasise(hidden, torch.tensor([weights], device=parts.device), emphasis)
        return Encoded(scaled.to(parts.dtype))

    if model is None or text_key is None:
        return run
    return cached(run, parts.encoded, ("long", emphasis, text_key))


def _tokens(tokenizer: Any, pieces: Sequence[tuple[str, float]]) -> tuple[list[int], list[float]]:
    """The pieces' tokens with the piece's weight each, the end, and padding.

    Raises:
        LimitError: more than `MOST`.
    """
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in pieces:
        found = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        ids += found
        weights += [weight] * len(found)
    ids.append(tokenizer.eos_token_id)
    if len(ids) > MOST:
        raise LimitError("error.prompt.tokens", found=len(ids), most=MOST)
    padding = -len(ids) % ROOM
    pad = tokenizer.pad_token_id
    return ids + [pad] * padding, weights + [1.0] * (padding + 1)
