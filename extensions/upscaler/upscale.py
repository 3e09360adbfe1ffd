"""The rows of the list of upscalers at work, for hires fix."""

from collections.abc import Callable

from PIL import Image

from modules.plugins import Host

from .files import find
from .sizes import Target
from .worker import Shelf, enlarged


def make(name: str, host: Host) -> "Row":
    """What works under `name`."""
    return Row(name, host)


class Row:
    """One upscaler. Its file is read for each use and let go after it: beside a model there may be little room."""

    def __init__(self, name: str, host: Host) -> None:
        self._name = name
        self._host = host

    def upscale(
        self, image: Image.Image, width: int, height: int, check: Callable[[], None]
    ) -> Image.Image:
        """The picture at exactly that size.

        Raises:
            UserError: its file is gone or cannot be used.
        """
        find(self._host, self._name)
        plain = image.convert("RGB")
        shelf = Shelf(self._host)
        return enlarged(
            self._host, shelf, self._name, plain, Target(width, height), lambda share: check()
        )
