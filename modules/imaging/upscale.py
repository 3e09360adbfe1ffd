"""Enlarging pictures: what an upscaler is, and those that need no model.

Extensions bring others; hires fix gets all of them as a mapping by name (`modules.diffusion.inputs.Inputs`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image


class Upscaler(Protocol):
    """Makes a picture larger."""

    @property
    def name(self) -> str:
        """What requests, the page and the text in pictures call it."""

    def upscale(
        self, image: Image.Image, width: int, height: int, check: Callable[[], None]
    ) -> Image.Image:
        """`image` at exactly `width` x `height` pixels.

        An upscaler of a fixed factor runs as often as needed and shrinks what is too large.

        Args:
            check: to be called between pieces of work of at most some seconds; raises `Cancelled` to stop.
        """


@dataclass(frozen=True)
class Resampling:
    """A plain filter of PIL."""

    name: str
    filter: Image.Resampling

    def upscale(
        self, image: Image.Image, width: int, height: int, check: Callable[[], None]
    ) -> Image.Image:
        """See `Upscaler`."""
        check()
        return image.resize((width, height), self.filter)


PLAIN: tuple[Resampling, ...] = (
    # "None" asks for no upscaler; the size must be met all the same.
    Resampling("None", Image.Resampling.LANCZOS),
    Resampling("Lanczos", Image.Resampling.LANCZOS),
    Resampling("Nearest", Image.Resampling.NEAREST),
)
