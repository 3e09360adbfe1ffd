"""The worker part: a frame around each finished picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from modules.plugins import Finisher, GenerationRequest, hookimpl

from .draw import framed
from .plugin import FrameOptions


class FrameWorker:
    """Gives the finisher."""

    @hookimpl
    def register_finishers(
        self, request: GenerationRequest, options: FrameOptions
    ) -> Sequence[Finisher]:
        return [Frame(options)]


class Frame:
    """Frames one picture."""

    order = 900  # after whatever changes the picture itself

    def __init__(self, options: FrameOptions) -> None:
        self._options = options

    def finish(self, image: Image.Image, request: GenerationRequest, index: int) -> Image.Image:
        """The picture in its frame."""
        text = self._options.text
        for name, value in (
            ("seed", request.seed_of(index)),
            ("model", request.model),
            ("prompt", request.prompt),  # last: what a prompt says in braces stays as it is
        ):
            text = text.replace("{" + name + "}", str(value or ""))
        return framed(image, self._options, text)
