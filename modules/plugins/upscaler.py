"""A way to make a picture larger."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from modules.plugins.blame import blame, broke_promise
from modules.plugins.finisher import picture_from
from modules.plugins.host import Host
from modules.plugins.inside import Inside


@dataclass(frozen=True)
class Upscaler:
    """One row of the list of upscalers. `name` is what requests and pictures say.

    `build` names something in the extension's own files, `"upscale:make"`, that is called in the worker when a job first
    uses it, and returns an `Upscaling`. What it takes of `name` (of the row) and `host` it is handed.
    """

    name: str
    title: str
    build: str
    title_zh: str = ""


class Upscaling(Protocol):
    """What `Upscaler.build` makes."""

    def upscale(
        self, image: Image.Image, width: int, height: int, check: Callable[[], None]
    ) -> Image.Image:
        """A new picture of exactly `width` x `height` pixels; leave `image` as it is.

        Call `check` between pieces of work: it raises `Cancelled` when the job is to stop.
        """
        ...


class NamedUpscaler:
    """A row that works: made when first used, its errors name its extension, its answer has the size asked for."""

    def __init__(
        self,
        extension: str,
        row: Upscaler,
        part: Callable[[str], Any],
        inside: Inside,
        host: Host | None = None,
    ) -> None:
        self.name = row.name
        self._host = host
        self._extension = extension
        self._build = row.build
        self._part = part
        self._inside = inside
        self._made: Upscaling | None = None

    def upscale(
        self, image: Image.Image, width: int, height: int, check: Callable[[], None]
    ) -> Image.Image:
        """See `Upscaling`."""

        def alive() -> None:
            with self._inside(
                self._extension, "upscale"
            ):  # a new count for whoever watches the time
                check()

        made = self._worker()
        with self._inside(self._extension, "upscale"), blame(self._extension):
            found = made.upscale(image.copy(), width, height, alive)
        picture = picture_from(self._extension, "upscale", found)
        if picture.size != (width, height):
            raise broke_promise(
                self._extension,
                "upscale",
                "shape",
                what="picture",
                wanted=f"{width}x{height}",
                found=f"{picture.width}x{picture.height}",
            )
        return picture

    def _worker(self) -> Upscaling:
        if self._made is None:
            with self._inside(self._extension, self._build), blame(self._extension):
                build = self._part(self._build)
                given = {"name": self.name, "host": self._host}
                wanted = inspect.signature(build).parameters
                made = build(**{key: value for key, value in given.items() if key in wanted})
            if not callable(getattr(made, "upscale", None)):
                raise broke_promise(
                    self._extension,
                    self._build,
                    "lacks",
                    what=type(made).__name__,
                    lacks="upscale",
                )
            self._made = made
        return self._made
