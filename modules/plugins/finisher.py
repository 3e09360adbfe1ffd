"""A step after the picture is made."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol

from PIL import Image

from modules.plugins.blame import blame, broke_promise
from modules.plugins.inside import Inside
from modules.schema import GenerationRequest


def _nobody(share: float) -> None:
    """Nobody follows."""


class Finisher(Protocol):
    """Picture in, picture out: a frame, a watermark, an upscaler. `order`: smaller runs first.

    One that takes long lets `finish` take `progress` too: called as `progress(share)`, 0 to 1, between pieces of work of
    some seconds, it raises `Cancelled` when the job is to stop. A method `infotext()` may give parameters of the
    picture's text (`{"Postprocess upscaler": "…"}`), asked for after `finish`.
    """

    order: int

    def finish(self, image: Image.Image, request: GenerationRequest, index: int) -> Image.Image:
        """Return a new picture; leave `image` as it is."""
        ...


class NamedFinisher:
    """A finisher whose error names its extension, and whose answer is looked at."""

    def __init__(self, extension: str, inner: Finisher, inside: Inside) -> None:
        for name, found in (("finish", callable(getattr(inner, "finish", None))), ("order", None)):
            good = isinstance(getattr(inner, "order", None), int) if name == "order" else found
            if not good:
                raise broke_promise(
                    extension, "register_finishers", "lacks", what=type(inner).__name__, lacks=name
                )
        self.extension = extension
        self.order = inner.order
        self._inner = inner
        self._inside = inside

    def finish(
        self,
        image: Image.Image,
        request: GenerationRequest,
        index: int,
        progress: Callable[[float], None] = _nobody,
    ) -> Image.Image:
        """The picture that it made of a copy of `image`; what `progress` raises goes through."""

        def alive(share: float) -> None:
            with self._inside(self.extension, "finish"):  # a new count for who watches the time
                progress(min(1.0, max(0.0, share)))

        follows = "progress" in inspect.signature(self._inner.finish).parameters
        more = {"progress": alive} if follows else {}
        with self._inside(self.extension, "finish"), blame(self.extension):
            found = self._inner.finish(image.copy(), request.model_copy(deep=True), index, **more)
        return picture_from(self.extension, "finish", found)

    def infotext(self) -> dict[str, object]:
        """What it says of its part, for the picture's text."""
        said = getattr(self._inner, "infotext", None)
        if said is None:
            return {}
        with self._inside(self.extension, "infotext"), blame(self.extension):
            found = dict(said())
        return {str(key): value for key, value in found.items()}


def picture_from(extension: str, hook: str, found: Any) -> Image.Image:
    """What an extension gave, which has to be a picture."""
    if not isinstance(found, Image.Image):
        raise broke_promise(
            extension, hook, "type", wanted="PIL.Image.Image", found=type(found).__name__
        )
    return found
