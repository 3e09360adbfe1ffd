"""Model families. Each is one module with the same function names; `FAMILIES` says which there are."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from PIL import Image

from modules.diffusion.conditioning import Conditioning
from modules.diffusion.families import sd1, sd2, sd3, sdxl, sdxl_refiner
from modules.diffusion.levels import Levels
from modules.diffusion.parts import Parts
from modules.diffusion.prompts.schedule import Pass
from modules.schema import GenerationRequest


class Family(Protocol):
    """What a family's module offers; see `sd1` for the meaning of each."""

    def encode(
        self,
        parts: Parts,
        request: GenerationRequest,
        run: Pass | None = None,
        text_key: tuple[str, ...] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Conditioning:
        """The prompt and the negative prompt as the model reads them."""

    def latent_shape(self, parts: Parts, width: int, height: int) -> tuple[int, int, int]:
        """Channels, height and width of one picture's latents."""

    def scale(self, parts: Parts) -> int:
        """Pixels to a latent, along each side."""

    def decode(self, parts: Parts, latents: torch.Tensor) -> torch.Tensor:
        """Latents to pictures as numbers from 0 to 1."""

    def encode_images(
        self,
        parts: Parts,
        pixels: torch.Tensor,
        generators: Sequence[torch.Generator] | None = None,
        *,
        scaled: bool = True,
    ) -> torch.Tensor:
        """Pictures as numbers from 0 to 1 to latents."""

    def predict(
        self,
        parts: Parts,
        model_input: torch.Tensor,
        timestep: torch.Tensor | float,
        conditioning: torch.Tensor,
        added: Mapping[str, torch.Tensor],
        model_kwargs: Mapping[str, Any],
    ) -> torch.Tensor:
        """The denoiser's answer to one call, float32."""

    def levels(self, parts: Parts) -> Levels:
        """The noise levels that the model was trained on."""

    def model_input(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """What the denoiser sees of `x` = clean + sigma * noise."""

    def to_denoised(
        self, parts: Parts, x: torch.Tensor, answer: torch.Tensor, sigma: float
    ) -> torch.Tensor:
        """The clean latents that the denoiser's answer to `x` stands for."""

    def to_images(self, pixels: torch.Tensor, width: int, height: int) -> list[Image.Image]:
        """Numbers from 0 to 1 to pictures of `width` x `height`."""


FAMILIES: Mapping[str, Family] = {
    "sd1": sd1,
    "sd2": sd2,
    "sdxl": sdxl,
    "sdxl_refiner": sdxl_refiner,
    "sd3": sd3,
}
