"""A small byte-level BPE in CLIP's format, learnt on the captions: 2,048 tokens.

256 bytes + 256 bytes ending a word + 1,534 merges + start + end. Any UTF-8 prompt can be spelt;
the words of the captions are merged first, so each is one token.

    python tokenizer.py DATA OUT    DATA as data.py fetch made it; OUT becomes a tokenizer folder
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path

from data import COLOURS, NUMBERS, SHAPES, STYLES, THINGS, caption_shapes, caption_thing

SIZE = 2048
START, END = "<|startoftext|>", "<|endoftext|>"
WORD = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")


def byte_characters() -> list[str]:
    """The printable stand-ins for the 256 bytes, in CLIP's order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def corpus(data: Path) -> Counter[str]:
    """Words with their counts: captions, and once each the words of the other icons' names."""
    rng = random.Random(0)
    words: Counter[str] = Counter()
    for _ in range(300):
        for thing in THINGS:
            colour = rng.choice([*COLOURS, "", "", ""])
            ground = rng.choice([*COLOURS, ""])
            words.update(
                WORD.findall(caption_thing(thing, rng.choice(STYLES), colour, ground, rng))
            )
        for shape in SHAPES:
            count = rng.randint(1, len(NUMBERS))
            words.update(
                WORD.findall(caption_shapes(shape, count, rng.choice([*COLOURS]), "", rng))
            )
    icons = json.loads((data / "npm" / "flat" / "icons.json").read_text())["icons"]
    for name in icons:
        words.update(WORD.findall(name.replace("-", " ")))
    return words


def learn(words: Counter[str], merges: int) -> list[tuple[str, str]]:
    """Plain byte-pair encoding over a table of words."""
    spelt = {word: [*word[:-1], word[-1] + "</w>"] for word in words if word.isascii()}
    found: list[tuple[str, str]] = []
    while len(found) < merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in spelt.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            raise ValueError(f"the corpus gives only {len(found)} merges")
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        found.append(best)
        joined = "".join(best)
        for word, parts in spelt.items():
            if joined.removesuffix("</w>") in word:
                spelt[word] = merge(parts, best)
    return found


def merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """The parts with each occurrence of the pair joined."""
    out: list[str] = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    from transformers import CLIPTokenizer

    letters = byte_characters()
    letters += [letter + "</w>" for letter in letters]
    merges = learn(corpus(given.data), SIZE - len(letters) - 2)
    tokens = [*letters, *("".join(pair) for pair in merges), START, END]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) != SIZE:
        raise ValueError(f"{len(vocabulary)} different tokens instead of {SIZE}")
    given.out.mkdir(parents=True, exist_ok=True)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
    tokenizer.save_pretrained(given.out)
    text = json.dumps(vocabulary, ensure_ascii=False)
    (given.out / "vocab.json").write_text(text, encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (given.out / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for text in ("a blue cat on a pink background", "Two green SQUARES, 3d render", "一只猫"):
        print(tokenizer.tokenize(text))
    split = [name for name in THINGS if len(tokenizer.tokenize(name)) > len(name.split())]
    print("words of more than one token:", split)


if __name__ == "__main__":
    main()
