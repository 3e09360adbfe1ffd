"""The blocks of a U-Net that a LoRA's weight can be set for.

"in", "mid" and "out" are the halves and the middle; "in1", "out0" … are single blocks, numbered from the picture's
side in (`down_blocks.1` is "in1") and from the middle out (`up_blocks.0` is "out0"). Text encoders are "te" and "te2",
everything else of a U-Net (first and last convolution, embeddings) is "base". The more exact name wins.
"""

import re
from collections.abc import Mapping

from .architecture import TEXT, TEXT_2

NAME = re.compile(r"(in|out)\d{1,2}|in|mid|out|base")
_SIDES = {"down_blocks": "in", "up_blocks": "out"}


def block_of(part: str, path: str) -> str:
    """The single block that a module belongs to."""
    if part in (TEXT, TEXT_2):
        return "te" if part == TEXT else "te2"
    first, _, rest = path.partition(".")
    if first in _SIDES:
        return _SIDES[first] + rest.partition(".")[0]
    return "mid" if first == "mid_block" else "base"


def block_weight(block: str, weights: Mapping[str, float]) -> float:
    """What a block's weight is multiplied by; 1 where nothing is said of it."""
    if block in weights:
        return weights[block]
    return weights.get(block.rstrip("0123456789"), 1.0)


def order(block: str) -> tuple[int, int]:
    """Sorting key: text encoders, base, in, mid, out."""
    side = block.rstrip("0123456789")
    places = ("te", "base", "in", "mid", "out")
    number = block[len(side) :]
    return places.index(side) if side in places else len(places), int(number or 0)
