"""How the answers to several texts become one. Ho and Salimans, arXiv 2207.12598."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from modules.diffusion.conditioning import Encoded, Weighted


@dataclass(frozen=True, eq=False)
class Row:
    """One text that the denoiser reads at a step; with n pictures it takes n rows of a call."""

    kind: Literal["negative", "positive", "blind"]
    """"blind" is the negative prompt without the picture that an InstructPix2Pix model is to edit."""
    encoded: Encoded
    part: int = 0
    """Which sub-prompt, of a positive one: 0-based."""
    weight: float = 1.0
    """Of the sub-prompt."""


def rows(
    positive: Sequence[Weighted], negative: Encoded | None, *, edits: bool = False
) -> tuple[Row, ...]:
    """What the denoiser reads at a step, the negative prompt first.

    Args:
        edits: the model edits a picture (InstructPix2Pix), which has a guidance of its own.
    """
    found = [Row("positive", each.encoded, part, each.weight) for part, each in enumerate(positive)]
    if negative is None:
        return tuple(found)
    blind = [Row("blind", negative)] if edits else []
    return (*blind, Row("negative", negative), *found)


def within(share: float, start: float, end: float) -> bool:
    """Whether guidance is on at a share of the steps. Kynkäänniemi et al., arXiv 2404.07724."""
    return start <= share < end or (end == 1 and share >= start)


def combine(
    answers: Sequence[tuple[Row, torch.Tensor]],
    cfg_scale: float,
    *,
    image_cfg_scale: float = 1.0,
    rescale: float = 0.0,
) -> torch.Tensor:
    """The guided answer, (n, ...), from the (n, ...) answer to each row.

    negative + cfg * sum(weight * (positive - negative)): sub-prompts as in composable diffusion (Liu et al., arXiv
    2206.01714). With a blind row, after InstructPix2Pix (Brooks et al., arXiv 2211.09800, equation 3):
    blind + image_cfg * (negative - blind) + cfg * sum(…).

    Args:
        rescale: share of arXiv 2305.08891, section 3.4: bring the spread back to that of the answer without guidance.
    """
    positive = [(row.weight, answer) for row, answer in answers if row.kind == "positive"]
    negative = next((answer for row, answer in answers if row.kind == "negative"), None)
    if negative is None:
        if len(positive) == 1:
            return positive[0][1]
        total = sum(weight for weight, _ in positive)
        shares = [(weight / total if total else 1 / len(positive)) for weight, _ in positive]
        mixed = positive[0][1] * shares[0]
        for share, (_, answer) in zip(shares[1:], positive[1:], strict=True):
            mixed = mixed + answer * share
        return mixed
    weight, answer = positive[0]
    pull = (answer - negative) * weight
    for weight, answer in positive[1:]:
        pull = pull + (answer - negative) * weight
    base = negative
    blind = next((answer for row, answer in answers if row.kind == "blind"), None)
    if blind is not None:
        base = blind + (negative - blind) * image_cfg_scale
    guided = base + pull * cfg_scale
    return rescaled(guided, negative + pull, rescale) if rescale else guided


def rescaled(guided: torch.Tensor, plain: torch.Tensor, share: float) -> torch.Tensor:
    """`guided` with, by `share`, the spread of `plain`, per picture."""
    sides = tuple(range(1, guided.ndim))
    spread = plain.std(dim=sides, keepdim=True) / guided.std(dim=sides, keepdim=True)
    return guided * (spread * share + (1 - share))
