"""What a generation needs beside the request and the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from modules.diffusion.parts import Parts
from modules.diffusion.samplers import Sampler
from modules.imaging.upscale import PLAIN, Upscaler


@dataclass(frozen=True)
class Inputs:
    """Handed to `generate`; whoever makes it has looked everything up."""

    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
    """The pictures that the request names by id."""
    refiner: Parts | None = None
    """The model of `request.refiner`."""
    upscalers: Mapping[str, Upscaler] = field(
        default_factory=lambda: {each.name: each for each in PLAIN}
    )
    """By name; those that work on latents are `hires.LATENT_UPSCALERS`."""
    samplers: Sequence[Sampler] = ()
    """Rows that extensions add to the table of samplers."""
