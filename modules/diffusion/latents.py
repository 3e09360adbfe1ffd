"""Noise by seed: the same on every device, and for a picture the same alone as in a batch."""

from collections.abc import Sequence

import torch


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator per picture. They live on the CPU, since a seed means other noise on each kind of device."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def noise(
    sources: Sequence[int] | Sequence[torch.Generator], shape: tuple[int, ...]
) -> torch.Tensor:
    """(len(sources), *shape) of standard normal noise in float32, on the CPU.

    Args:
        sources: seeds, or generators from which later noise (ancestral samplers) is to be drawn as well.
        shape: of one picture's latents, without the batch.
    """
    drawn = [
        source if isinstance(source, torch.Generator) else generators([source])[0]
        for source in sources
    ]
    return torch.cat([torch.randn((1, *shape), generator=one) for one in drawn])
