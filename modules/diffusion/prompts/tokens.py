"""From segments to the chunks of tokens that a CLIP text encoder takes: 75 of the prompt between a start and an end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modules.diffusion.prompts.parse import Segment, parse

BACKTRACK = 20
"""Where a chunk is full, text after a comma this near to its end moves to the next chunk, to stay together."""


@dataclass(frozen=True)
class Chunk:
    """What goes through the text encoder at once: `room` + 2 token ids, each with its weight."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class TokenCount:
    """For the counter beside a prompt: `used` of `room` tokens, where `room` is a whole number of chunks."""

    used: int
    room: int


def count(tokenizer: Any, text: str, room: int = 75) -> TokenCount:
    """Tokens of a prompt, with what BREAK and commas leave empty before the last chunk."""
    cut = _cut_all(tokenizer, parse(text), room)
    used = (len(cut) - 1) * room + len(cut[-1])
    return TokenCount(used, len(cut) * room)


def chunks(tokenizer: Any, segments: Sequence[Segment], room: int = 75) -> list[Chunk]:
    """At least one chunk; an empty prompt is an empty chunk."""
    return [finish_chunk(tokenizer, cut, room) for cut in _cut_all(tokenizer, segments, room)]


def finish_chunk(tokenizer: Any, tokens: Sequence[tuple[int, float]] = (), room: int = 75) -> Chunk:
    """Start, tokens, end, and padding up to `room` + 2; what is not of the prompt has the weight 1."""
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    padding = room - len(tokens)
    ids = (start, *(token for token, _ in tokens), end, *[end if pad is None else pad] * padding)
    return Chunk(ids, (1.0, *(weight for _, weight in tokens), *[1.0] * (padding + 1)))


def _cut_all(
    tokenizer: Any, segments: Sequence[Segment], room: int
) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = [[]]
    for segment in segments:
        if segment.starts_chunk:
            runs.append([])
        # Not verbose: the tokenizer would warn of texts longer than the encoder takes, and we cut them.
        ids = tokenizer(segment.text, add_special_tokens=False, verbose=False).input_ids
        runs[-1].extend((token, segment.weight) for token in ids)
    comma = comma_id(tokenizer)
    return [cut for run in runs for cut in _cut(run, room, comma)]


def comma_id(tokenizer: Any) -> int | None:
    """The token of a comma that ends a word, if the vocabulary has one."""
    found = tokenizer.convert_tokens_to_ids(",</w>")
    return None if found is None or found == tokenizer.unk_token_id else int(found)


def _cut(
    run: list[tuple[int, float]], room: int, comma: int | None
) -> list[list[tuple[int, float]]]:
    cuts: list[list[tuple[int, float]]] = []
    start = 0
    while len(run) - start > room:
        end = start + room
        if run[end][0] != comma:
            near = range(end - 1, end - BACKTRACK - 1, -1)
            last = next((index for index in near if index > start and run[index][0] == comma), None)
            end = end if last is None else last + 1
        cuts.append(run[start:end])
        start = end
    return [*cuts, run[start:]]
