"""Noise by seed: the same on every device, and for a picture the same alone as in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from modules.diffusion.brownian import BrownianPath
from modules.diffusion.philox import Philox
from modules.diffusion.solvers.protocol import Draw
from modules.diffusion.timeline import Timeline
from modules.schema import GenerationRequest
from modules.schema.options import MAX_SEED


class Stream(Protocol):
    """The random numbers of one seed, one call after the other."""

    def __call__(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal numbers, float32, on the CPU."""


class Cpu:
    """torch's generator of the CPU: a seed means other noise on each kind of device, so it is always this one."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator("cpu").manual_seed(seed)

    def __call__(self, shape: tuple[int, ...]) -> torch.Tensor:
        """See `Stream`."""
        return torch.randn(shape, generator=self.generator)


class Nv:
    """NVIDIA's generator, on any device."""

    def __init__(self, seed: int) -> None:
        self._philox = Philox(seed)

    def __call__(self, shape: tuple[int, ...]) -> torch.Tensor:
        """See `Stream`."""
        return torch.from_numpy(self._philox.normal(shape))


class Source:
    """The noise of one picture."""

    def __init__(self, request: GenerationRequest, index: int) -> None:
        varied = request.variation is not None and request.variation.strength > 0
        self._request = request
        self._index = index
        # With a variation the seed stays and the variation's seed counts up; without one it is the other way round.
        self.seed = request.seed if varied else request.seed_of(index)
        self._new = Nv if request.rng == "nv" else Cpu
        self._stream: Stream = self._new(self.seed)

    def start(self, shape: tuple[int, int, int], base: tuple[int, int] | None) -> torch.Tensor:
        """The noise that the picture begins with: (channels, height, width).

        Args:
            base: height and width of the noise to place in the middle, for a resized seed.
        """
        inner = (shape[0], *base) if base else shape
        same = inner == shape
        noise = self._stream(shape) if same else self._new(self.seed)(inner)
        variation = self._request.variation
        if variation is not None and variation.strength > 0:
            other = self._new((variation.seed + self._index) % (MAX_SEED + 1))(inner)
            noise = slerp(variation.strength, noise, other)
        if not same:
            noise = paste(noise, self._stream(shape))
        if delta := self._request.sampler_options.eta_noise_seed_delta:
            self._stream = self._new((self.seed + delta) % (MAX_SEED + 1))
        return noise

    def more(self, shape: tuple[int, ...]) -> torch.Tensor:
        """The next noise of this picture's stream."""
        return self._stream(shape)


class Sources:
    """The noise of the pictures of one batch. `start` comes first and once; a second pass takes new sources."""

    def __init__(self, request: GenerationRequest, first: int, count: int) -> None:
        self._sources = [Source(request, first + index) for index in range(count)]
        self._resize = request.seed_resize

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of each picture."""
        return tuple(source.seed for source in self._sources)

    def start(self, shape: tuple[int, int, int], scale: int = 8) -> torch.Tensor:
        """(n, *shape) of standard normal noise in float32, on the CPU, with variation and seed resize.

        Args:
            shape: of one picture's latents: channels, height, width.
            scale: pixels to a latent, for the size of a seed resize.
        """
        size = self._resize
        base = None if size is None else (size.height // scale, size.width // scale)
        return torch.stack([source.start(shape, base) for source in self._sources])

    def more(self, shape: tuple[int, ...]) -> torch.Tensor:
        """(n, *shape) of the next noise, where something beside the sampler needs some."""
        return torch.stack([source.more(shape) for source in self._sources])

    def draws(self, track: Timeline, latents: torch.Tensor) -> Draw:
        """Where a sampler takes its noise from: `draw(sigma, lower)` is unit noise, (n, ...) like `latents`."""
        shape, device = tuple(latents.shape[1:]), latents.device
        if track.sampler.noise == "steps":
            return lambda sigma, lower: self.more(shape).to(device)
        paths = [BrownianPath(seed, shape, *track.range) for seed in self.seeds]
        return lambda sigma, lower: torch.stack([path(sigma, lower) for path in paths]).to(device)


def sources(request: GenerationRequest, first: int, count: int) -> Sources:
    """The noise of the request's pictures `first`, `first + 1` …; seeds are drawn."""
    return Sources(request, first, count)


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator per seed. They live on the CPU, since a seed means other noise on each kind of device."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def slerp(share: float, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    """From `one` (share 0) to `two` (share 1) along the arc, so that the noise stays as strong as it is.

    Each column of (channels, height, width) has an arc of its own, as the A1111 family has it. Where the columns
    nearly agree the way is straight.
    """
    dots = (one / one.norm(dim=1, keepdim=True) * (two / two.norm(dim=1, keepdim=True))).sum(
        1, keepdim=True
    )
    if dots.mean() > 0.9995:
        return one + (two - one) * share
    angle = torch.acos(dots.clamp(-1, 1))
    sine = torch.sin(angle)
    arc = (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * two) / sine
    return torch.where(sine > 1e-6, arc, one + (two - one) * share)


def paste(inner: torch.Tensor, outer: torch.Tensor) -> torch.Tensor:
    """`outer` with `inner` over its middle; what of `inner` does not fit is cut off at its rim."""
    found = outer.clone()
    there, here = [slice(None)], [slice(None)]
    for small, large in zip(inner.shape[1:], outer.shape[1:], strict=True):
        offset = (large - small) // 2
        size = small if offset >= 0 else small + 2 * offset
        there.append(slice(max(offset, 0), max(offset, 0) + size))
        here.append(slice(max(-offset, 0), max(-offset, 0) + size))
    found[tuple(there)] = inner[tuple(here)]
    return found
