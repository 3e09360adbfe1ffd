"""The CLIP vocabulary, for checkpoints that are a single file and bring none.

It comes from the package `open_clip_torch`, which ships OpenAI's list of merges; the package itself is not imported.
"""

import gzip
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from modules.errors import UserError

PACKAGE = "open_clip"
FILE = "bpe_simple_vocab_16e6.txt.gz"
MERGES = 49152 - 256 - 2
"""CLIP uses the first so many merges of the list: with 2 x 256 bytes and the two marks that makes 49,408 words."""
START, END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(options: dict[str, Any]) -> Any:
    """CLIP's tokenizer with `options` over the usual (the families differ in the word that fills up).

    Raises:
        UserError: the package that ships the vocabulary is not installed.
    """
    from transformers import CLIPTokenizer

    vocabulary, merges = clip_words()
    return CLIPTokenizer(
        vocab=dict(vocabulary),
        merges=list(merges),
        **{
            "bos_token": START,
            "eos_token": END,
            "unk_token": END,
            "pad_token": END,
            "model_max_length": 77,
            **options,
        },
    )


@cache
def clip_words() -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """Words with their numbers, and the merges by rank (Radford et al., arXiv 2103.00020: byte-level BPE)."""
    found = importlib.util.find_spec(PACKAGE)
    file = Path(found.origin).parent / FILE if found and found.origin else None
    if file is None or not file.is_file():
        raise UserError("error.model.vocabulary", file=FILE, package="open_clip_torch")
    with gzip.open(file, "rt", encoding="utf-8") as text:
        lines = text.read().split("\n")[1 : 1 + MERGES]
    merges = tuple((left, right) for left, right in (line.split() for line in lines))
    letters = byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += [left + right for left, right in merges]
    return {word: number for number, word in enumerate([*words, START, END])}, merges


def byte_letters() -> list[str]:
    """A letter for each of the 256 bytes: itself where it is a visible sign, else one from 256 on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + place) for place in range(len(hidden))]
