"""What the module of a family that runs through a pipeline offers."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from modules.diffusion.parts import Parts
from modules.schema import GenerationRequest


class Piped(Protocol):
    """See `flux1` for an example."""

    def pipeline(self, parts: Parts) -> Any:
        """Diffusers' pipeline around the parts, with a scheduler of its own. Cheap."""

    def texts(self, pipe: Any, prompt: str, request: GenerationRequest) -> dict[str, Any]:
        """The prompts of one picture, encoded, as keyword arguments of the pipeline's call."""

    def options(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        """Guidance and the like, as keyword arguments of the pipeline's call."""

    def latent_shape(self, parts: Parts, width: int, height: int) -> tuple[int, int, int]:
        """Channels, height and width of one picture's latents, large enough for `width` x `height` pixels."""

    def scale(self, parts: Parts) -> int:
        """Pixels to a latent, along each side."""

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """(1, channels, height, width) as the pipeline takes its `latents`."""

    def unpack(self, latents: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
        """What the pipeline's callback hands out, as (1, *shape)."""

    def decode(self, parts: Parts, latents: torch.Tensor) -> torch.Tensor:
        """(n, channels, height, width) to pictures, (n, 3, height, width), around 0 to 1."""


Table = Mapping[str, Piped]
