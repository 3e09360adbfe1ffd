"""Texts through one or more CLIP text encoders: any length, clip skip, emphasis, embeddings."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from modules.diffusion.conditioning import Encoded
from modules.diffusion.parts import Embedding
from modules.diffusion.prompts.embeddings import Names
from modules.diffusion.prompts.emphasis import emphasise
from modules.diffusion.prompts.parse import Emphasis, parse
from modules.diffusion.prompts.tokens import Chunk, Vocabulary, chunks, finish
from modules.errors import LimitError

AT_ONCE = 16
"""Chunks that go through the text encoder together: bounds the memory that a very long prompt takes."""
MAX_CHUNKS = 4096
"""Of all texts of one call: a very long prompt that changes at every step could otherwise take all memory."""


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A CLIP text encoder of a model, and which of its numbers the denoiser reads."""

    tokenizer: Any
    model: Any
    """transformers' CLIPTextModel, or CLIPTextModelWithProjection where `pooled`."""
    slot: int = 0
    """Which of `Embedding.vectors` are for it: 0 for `Parts.text_encoder`, 1 for `Parts.text_encoder_2`."""
    layer: int = 1
    """1 is the last layer, 2 the one before it, and so on: clip skip."""
    norm: bool = True
    """The model's last norm is applied to that layer; SDXL reads it without."""
    pooled: bool = False
    """Also the projected vector of the first chunk, for `Encoded.added["text_embeds"]`."""


def encode(
    encoders: Sequence[TextEncoder],
    texts: Sequence[str],
    *,
    device: torch.device,
    dtype: torch.dtype,
    emphasis: Emphasis = "original",
    embeddings: Mapping[str, Embedding] | None = None,
) -> list[Encoded]:
    """Plain texts (emphasis, BREAK and names of embeddings are all the notation they have) as the denoiser reads them.

    Each is (1, chunks * tokens, the encoders' widths together). A text's numbers do not depend on the other texts
    of the call, to the last bit: so they may be kept.

    Raises:
        LimitError: an encoder has fewer layers than are skipped, or the texts are too many and too long.
    """
    for encoder in encoders:
        layers = encoder.model.config.num_hidden_layers
        if encoder.layer > layers:
            raise LimitError("error.clip_skip", found=encoder.layer, most=layers)
    fitting = _fitting(embeddings or {}, encoders)
    cutters = [_Cutter(encoder, emphasis, fitting) for encoder in encoders]
    cut = [_even(text, cutters) for text in texts]
    number = sum(len(lanes[0]) for lanes in cut)
    if number > MAX_CHUNKS:
        raise LimitError("error.prompt.chunks", found=number, most=MAX_CHUNKS)
    return [_encode(lanes, cutters, emphasis, fitting, device, dtype) for lanes in cut]


class _Cutter:
    """A text encoder with what is needed to cut texts for it."""

    def __init__(
        self, encoder: TextEncoder, emphasis: Emphasis, embeddings: Mapping[str, Embedding]
    ) -> None:
        self.encoder = encoder
        self.room: int = encoder.model.config.max_position_embeddings - 2
        self.vocabulary = Vocabulary.of(encoder.tokenizer)
        self._emphasis = emphasis
        lengths = {name: embedding.tokens for name, embedding in embeddings.items()}
        self._names = Names(self.vocabulary.ids, lengths)

    def cut(self, text: str) -> list[Chunk]:
        return chunks(self.vocabulary, parse(text, self._emphasis), self.room, self._names)


def _even(text: str, cutters: Sequence[_Cutter]) -> list[list[Chunk]]:
    """The chunks for each encoder, as many for one as for the other."""
    lanes = [cutter.cut(text) for cutter in cutters]
    most = max(len(lane) for lane in lanes)
    for lane, cutter in zip(lanes, cutters, strict=True):
        lane.extend([finish(cutter.vocabulary, (), cutter.room)] * (most - len(lane)))
    return lanes


def _fitting(
    embeddings: Mapping[str, Embedding], encoders: Sequence[TextEncoder]
) -> dict[str, Embedding]:
    """Those with vectors of the right width for every encoder; the names of others are text."""

    def fits(embedding: Embedding, encoder: TextEncoder) -> bool:
        if encoder.slot >= len(embedding.vectors):
            return False
        vectors = embedding.vectors[encoder.slot]
        return vectors is not None and vectors.shape[-1] == encoder.model.config.hidden_size

    return {
        name: embedding
        for name, embedding in embeddings.items()
        if all(fits(embedding, encoder) for encoder in encoders)
    }


def _encode(
    lanes: Sequence[Sequence[Chunk]],
    cutters: Sequence[_Cutter],
    emphasis: Emphasis,
    embeddings: Mapping[str, Embedding],
    device: torch.device,
    dtype: torch.dtype,
) -> Encoded:
    found: list[torch.Tensor] = []
    whole: list[torch.Tensor] = []
    for lane, cutter in zip(lanes, cutters, strict=True):
        encoder = cutter.encoder
        answers = [
            _run(encoder, lane[at : at + AT_ONCE], embeddings, device)
            for at in range(0, len(lane), AT_ONCE)
        ]
        hidden = torch.cat([answer[0] for answer in answers])
        weights = torch.tensor([chunk.weights for chunk in lane], device=device)
        weighted = emphasise(hidden, weights, emphasis).to(dtype)
        found.append(weighted.flatten(0, 1).unsqueeze(0))
        pooled = answers[0][1]
        if pooled is not None:
            whole.append(pooled[:1].to(dtype))
    added = {"text_embeds": torch.cat(whole, dim=-1)} if whole else {}
    return Encoded(torch.cat(found, dim=-1), added)


def _run(
    encoder: TextEncoder,
    part: Sequence[Chunk],
    embeddings: Mapping[str, Embedding],
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The layer's vectors (chunks, tokens, width), and the pooled ones (chunks, width) where asked for."""
    ids = torch.tensor([chunk.ids for chunk in part], device=device)
    earlier = encoder.layer != 1 or not encoder.norm
    options = {"output_hidden_states": True} if earlier else {}
    with _filled(encoder, part, embeddings):
        answer = encoder.model(input_ids=ids, **options)
    hidden: torch.Tensor = answer.last_hidden_state
    if earlier:
        hidden = answer.hidden_states[-encoder.layer]
        if encoder.norm:
            # A model with projection holds the plain one; transformers 5 took that wrapper away from the plain one.
            hidden = getattr(encoder.model, "text_model", encoder.model).final_layer_norm(hidden)
    return hidden, answer.text_embeds if encoder.pooled else None


@contextmanager
def _filled(
    encoder: TextEncoder, part: Sequence[Chunk], embeddings: Mapping[str, Embedding]
) -> Iterator[None]:
    """While it lasts, the encoder reads embeddings' vectors where the chunks have holes for them."""
    holes = [(row, hole) for row, chunk in enumerate(part) for hole in chunk.holes]
    if not holes:
        yield
        return

    def fill(module: Any, given: Any, vectors: torch.Tensor) -> torch.Tensor:
        filled = vectors.clone()
        for row, hole in holes:
            vector = embeddings[hole.name].vectors[encoder.slot]
            assert vector is not None  # `_fitting` has seen to it
            filled[row, hole.position] = vector[hole.row].to(filled)
        return filled

    handle = encoder.model.get_input_embeddings().register_forward_hook(fill)
    try:
        yield
    finally:
        handle.remove()
