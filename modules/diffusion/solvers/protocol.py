"""What a solver and the loop say to one another."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from modules.schema import SamplerOptions

Latents = Any
"""A tensor, or a number where only the calls are counted."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What does the model see in `x` = clean + `sigma` * noise? The answer is its guess of the clean latents."""

    x: Latents
    sigma: float
    step: int
    """0-based."""
    negative: bool = False
    """The answer is a pair: the guess, and the guess from the negative prompt alone."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """Step `step` is done and left `x` at the level `sigma`. The answer is what to go on with."""

    x: Latents
    sigma: float
    step: int


Event = Ask | Stepped
Run = Generator[Event, Any, Any]
Draw = Callable[[float, float], Latents]
"""Unit noise for the way from one sigma down to another."""
Solver = Callable[[Latents, Sequence[float], SamplerOptions, Draw], Run]
"""`SamplerOptions.eta` is set. `sigmas` has one entry more than there are steps, and mostly ends in 0."""
