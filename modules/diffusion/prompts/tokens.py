"""From segments to the chunks of tokens that a CLIP text encoder takes: 75 of the prompt between a start and an end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from modules.diffusion.prompts.embeddings import Names
from modules.diffusion.prompts.parse import Emphasis, Segment, parse
from modules.diffusion.prompts.plan import plan, plan_negative
from modules.diffusion.prompts.schedule import Pass

ROOM = 75
"""Tokens of the prompt in a chunk of CLIP's usual length of 77."""
BACKTRACK = 20
"""Where a chunk is full, text after a comma this near to its end moves to the next chunk, to stay together."""

_HOLE = 0
"""The id where an embedding's vector comes: any that is neither start nor end."""


@dataclass(frozen=True)
class Vocabulary:
    """What cutting a prompt needs of a tokenizer."""

    ids: Callable[[str], Sequence[int]]
    """The tokens of a text, without start and end."""
    start: int
    end: int
    pad: int
    comma: int | None
    """The token of a comma that ends a word, if there is one."""

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        """That of a CLIP tokenizer of the package transformers."""

        def ids(text: str) -> Sequence[int]:
            # Not verbose: the tokenizer would warn of texts longer than the encoder takes, and we cut them.
            found: Sequence[int] = tokenizer(
                text, add_special_tokens=False, verbose=False
            ).input_ids
            return found

        end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
        comma = tokenizer.convert_tokens_to_ids(",</w>")
        known = comma is not None and comma != tokenizer.unk_token_id
        return cls(
            ids, tokenizer.bos_token_id, end, end if pad is None else pad, comma if known else None
        )

    @classmethod
    def of_backend(cls, tokenizer: Any) -> Self:
        """That of a CLIP tokenizer of the package tokenizers, which comes without torch: enough for counting."""

        def ids(text: str) -> Sequence[int]:
            found: Sequence[int] = tokenizer.encode(text, add_special_tokens=False).ids
            return found

        end = tokenizer.token_to_id("<|endoftext|>")
        start = tokenizer.token_to_id("<|startoftext|>")
        return cls(ids, start, end, end, tokenizer.token_to_id(",</w>"))


@dataclass(frozen=True, slots=True)
class Hole:
    """Where a row of an embedding goes: instead of the token's own vector."""

    position: int
    name: str
    row: int


@dataclass(frozen=True)
class Chunk:
    """What goes through the text encoder at once: `room` + 2 token ids, each with its weight."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True)
class TokenCount:
    """For the counter beside a prompt: `used` of `room` tokens, where `room` is a whole number of chunks."""

    used: int
    room: int


def named(
    vocabulary: Vocabulary,
    texts: Sequence[str],
    run: Pass,
    names: Sequence[str],
    *,
    negative: bool = False,
    emphasis: Emphasis = "original",
) -> list[str]:
    """Which of these names of textual inversions stand in prompts as people write them, in the order of `names`."""
    known = Names(vocabulary.ids, dict.fromkeys(names, 1))
    found: set[str] = set()
    for text in texts:
        if negative:
            plain = set(plan_negative(text, run))
        else:
            plain = {part.text for parts in plan(text, run) for part in parts}
        for one in plain:
            for segment in parse(one, emphasis):
                found |= known.among(vocabulary.ids(segment.text))
    return [name for name in names if name in found]


def count(
    vocabulary: Vocabulary,
    text: str,
    run: Pass,
    *,
    negative: bool = False,
    emphasis: Emphasis = "original",
    embeddings: Mapping[str, int] | None = None,
    room: int = ROOM,
) -> TokenCount:
    """Tokens of a prompt as people write it, with what BREAK and commas leave empty before the last chunk.

    Of the texts that hold at different steps, and of sub-prompts, the longest counts.

    Args:
        embeddings: names of textual inversions and how many tokens each takes.
    """
    if negative:
        texts = set(plan_negative(text, run))
    else:
        texts = {part.text for parts in plan(text, run) for part in parts}
    names = Names(vocabulary.ids, embeddings or {})
    longest = TokenCount(0, room)
    for one in texts:
        cut = _cut_all(vocabulary, parse(one, emphasis), room, names)
        used = (len(cut) - 1) * room + len(cut[-1])
        if used > longest.used:
            longest = TokenCount(used, len(cut) * room)
    return longest


def chunks(
    vocabulary: Vocabulary,
    segments: Sequence[Segment],
    room: int = ROOM,
    names: Names | None = None,
) -> list[Chunk]:
    """At least one chunk; an empty prompt is an empty chunk."""
    return [finish(vocabulary, cut, room) for cut in _cut_all(vocabulary, segments, room, names)]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a prompt, before it has a place in a chunk."""

    id: int
    weight: float = 1.0
    embedding: str | None = None
    row: int = 0
    """Of the embedding; 0 where there is none."""


def finish(vocabulary: Vocabulary, tokens: Sequence[Token] = (), room: int = ROOM) -> Chunk:
    """Start, tokens, end, and padding up to `room` + 2; what is not of the prompt has the weight 1."""
    padding = room - len(tokens)
    ids = (vocabulary.start, *(token.id for token in tokens), vocabulary.end)
    holes = (
        Hole(place, token.embedding, token.row)
        for place, token in enumerate(tokens, 1)
        if token.embedding is not None
    )
    return Chunk(
        ids + (vocabulary.pad,) * padding,
        (1.0, *(token.weight for token in tokens), *[1.0] * (padding + 1)),
        tuple(holes),
    )


def _cut_all(
    vocabulary: Vocabulary, segments: Sequence[Segment], room: int, names: Names | None
) -> list[list[Token]]:
    runs: list[list[Token]] = [[]]
    for segment in segments:
        if segment.starts_chunk:
            runs.append([])
        runs[-1].extend(_tokens(vocabulary.ids(segment.text), segment.weight, names))
    return [cut for run in runs for cut in _cut(run, room, vocabulary.comma)]


def _tokens(ids: Sequence[int], weight: float, names: Names | None) -> Iterator[Token]:
    at = 0
    while at < len(ids):
        found = names.at(ids, at) if names is not None else None
        if found is None:
            yield Token(ids[at], weight)
            at += 1
        else:
            for row in range(found.vectors):
                yield Token(_HOLE, weight, found.name, row)
            at += len(found.ids)


def _cut(run: list[Token], room: int, comma: int | None) -> list[list[Token]]:
    cuts: list[list[Token]] = []
    start = 0
    while len(run) - start > room:
        end = _end(run, start, start + room, comma)
        cuts.append(run[start:end])
        start = end
    return [*cuts, run[start:]]


def _end(run: list[Token], start: int, full: int, comma: int | None) -> int:
    """Where the chunk that begins at `start` and could go on to `full` ends."""
    first_row = full - run[full].row
    if first_row < full:  # in the middle of an embedding, which stays whole if a chunk can hold it
        return first_row if first_row > start else full
    if _is_comma(run[full], comma):
        return full
    near = range(full - 1, max(start, full - BACKTRACK - 1), -1)
    last = next((index for index in near if _is_comma(run[index], comma)), None)
    return full if last is None else last + 1


def _is_comma(token: Token, comma: int | None) -> bool:
    return token.embedding is None and token.id == comma
