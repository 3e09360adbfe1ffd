"""SDXL's conditioning on numbers: the size that a picture was made at, what was cropped from it, how pleasing it is.

Podell et al., "SDXL", arXiv 2307.01952, section 2.2.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from modules.diffusion.conditioning import Encoded
from modules.diffusion.parts import Parts
from modules.diffusion.prompts.cache import Encode


def told(encode: Encode, parts: Parts, numbers: Sequence[float], *, zeros: bool = False) -> Encode:
    """`encode`, with `numbers` beside each text as `time_ids`.

    Args:
        zeros: an empty text is zeros instead of what the encoder makes of it, pooled vector included. So the
            negative prompt was left out in training.
    """
    # In fp32: half precision has no room for a crop of 1,025 pixels.
    ids = torch.tensor([list(numbers)], dtype=torch.float32, device=parts.device)

    def run(texts: Sequence[str]) -> list[Encoded]:
        found = encode(texts)
        return [
            _with_ids(one, ids, zero=zeros and not text)
            for text, one in zip(texts, found, strict=True)
        ]

    return run


def _with_ids(encoded: Encoded, ids: torch.Tensor, *, zero: bool) -> Encoded:
    if not zero:
        return replace(encoded, added={**encoded.added, "time_ids": ids})
    empty = {name: torch.zeros_like(value) for name, value in encoded.added.items()}
    return Encoded(torch.zeros_like(encoded.tokens), {**empty, "time_ids": ids})
