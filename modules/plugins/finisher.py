"""A step after the picture is made."""

from typing import Protocol

from PIL import Image

from modules.schema import GenerationRequest


class Finisher(Protocol):
    """Picture in, picture out: a frame, a watermark, an upscaler. `order`: smaller runs first."""

    order: int

    def finish(self, image: Image.Image, request: GenerationRequest, index: int) -> Image.Image:
        """Return a new picture; leave `image` as it is."""
        ...
