"""What an extension may know of the installation that it runs in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from modules.errors import UserError
from modules.plugins.model_kind import ModelKind


class Pictures(Protocol):
    """Pictures by what they show: `modules.services.inputs.InputPictures`."""

    def keep(self, image: Image.Image) -> str:
        """Keep a picture; its id, which is the same for the same pixels."""
        ...

    def open(self, name: str) -> Image.Image:
        """The pixels of the picture with this id, RGB or RGBA."""
        ...

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of the picture with this id, without reading its pixels."""
        ...


@dataclass(frozen=True)
class Host:
    """Handed to the extension's class when it is made, if its constructor takes an argument."""

    name: str
    """The extension's own."""
    folder: Path
    """The extension's own files; an update replaces them."""
    models: Path
    """Where weights are."""
    data: Path
    """Where the extension may keep files of its own. An update leaves it as it is; it is made by who writes there."""
    device: str = "auto"
    """Where the person wants the work done: "auto", "cuda", "cpu" …; see `compute_device` of `modules.plugins.adapters`."""
    converted: Path | None = None
    """Where safetensors copies of legacy weight files are kept; see `safe_weights` there."""
    pictures: Pictures | None = None
    """Where pictures that people hand in are kept; see `open_picture`."""

    def files(self, kind: ModelKind) -> Mapping[str, Path]:
        """The weight files of a kind, by name."""
        return kind.files(self.models)

    def open_picture(self, name: str) -> Image.Image:
        """A picture that somebody handed in (`/ui/inputs` gives the id), RGB or RGBA, whoever that was.

        What a guest's request names, in its fields and in the options of extensions, is his: others are refused before
        an extension sees them. Open no picture of which the id came another way.

        Raises:
            UserError: there is none of that id, or its file is damaged.
        """
        if self.pictures is None:
            raise UserError("error.input.missing", id=name[:12])
        return self.pictures.open(name)

    def picture_size(self, name: str) -> tuple[int, int]:
        """Width and height of a picture that somebody handed in, without reading its pixels; whose it may be: `open_picture`.

        Raises:
            UserError: there is none of that id, or its file is no picture.
        """
        if self.pictures is None:
            raise UserError("error.input.missing", id=name[:12])
        return self.pictures.size(name)

    def keep_picture(self, image: Image.Image) -> str:
        """Keep a picture of your making beside those; its id, by which `/ui/inputs/<id>` shows it.

        In a job it belongs to whoever asked for that; kept by the page's part, the owner alone is shown it.

        Raises:
            StorageError: the folder refuses.
            UserError: pictures are kept nowhere in this process.
        """
        if self.pictures is None:
            raise UserError("error.input.missing", id="-")
        return self.pictures.keep(image)
