"""Model families. Each is one module with the same function names; `FAMILIES` says which there are."""

from collections.abc import Mapping
from typing import Protocol

import torch
from PIL import Image

from modules.diffusion.conditioning import Conditioning
from modules.diffusion.families import sd1
from modules.diffusion.parts import Parts
from modules.schema import GenerationRequest


class Family(Protocol):
    """What a family's module offers; see `sd1` for the meaning of each."""

    def encode(self, parts: Parts, request: GenerationRequest) -> Conditioning:
        """The prompt and the negative prompt as the model reads them."""

    def latent_shape(self, parts: Parts, width: int, height: int) -> tuple[int, int, int]:
        """Channels, height and width of one picture's latents."""

    def decode(self, parts: Parts, latents: torch.Tensor) -> torch.Tensor:
        """Latents to pictures as numbers from 0 to 1."""

    def to_images(self, pixels: torch.Tensor, width: int, height: int) -> list[Image.Image]:
        """Numbers from 0 to 1 to pictures of `width` x `height`."""


FAMILIES: Mapping[str, Family] = {"sd1": sd1}
