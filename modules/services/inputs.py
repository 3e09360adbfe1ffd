"""Pictures that people hand in: kept once each, under the hash of what they show.

    data/inputs/<sha256 of size, mode and pixels>.png

A request names a picture by that hash, so it means the same pixels on every machine, and a picture that was made from
it can be made again.
"""

import hashlib
import io
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from modules.errors import LimitError, UserError, cause
from modules.imaging.pictures import MAX_PIXELS, open_picture
from modules.services.disk import Disk, remove_parts, storage_errors, write_whole

MAX_BYTES = 64_000_000
_LARGE = 4_000_000
"""Pictures of more pixels are decoded one at a time: a file of 8 kB may be half a gigabyte in memory, and some dozens of those
at once would be more than the machine has."""
_STRIP = 1_000_000
"""Pixels that are hashed at a time."""
_ID = re.compile(r"[0-9a-f]{64}")
_ALONE = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def ids_in(text: str) -> frozenset[str]:
    """Every number of an input picture that a text may mean, such as a request or a draft as JSON."""
    return frozenset(_ALONE.findall(text))


_FIELDS = (("img2img", "image"), ("img2img", "inpaint", "mask"), ("postprocess", "image"))


def named_in(asked: Mapping[str, Any]) -> Iterator[str]:
    """Every number of an input picture that a request as JSON may name, some of them twice.

    Beside the fields that name one, whatever looks like a number in the options of extensions: only they know which of
    their texts are one. Prompts and the texts of other pictures name none.
    """
    for path in _FIELDS:
        found: Any = asked
        for part in path:
            found = found.get(part) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            yield found
    # Text by text: in JSON an escape before a number, such as that of a form feed, may end in a hexadecimal digit.
    left: list[Any] = [asked.get("extras")]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield from _ALONE.findall(value.lower())
        elif isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            left += value


class InputPictures:
    """The folder of input pictures. Safe to use from several processes: a file never changes once it is there."""

    def __init__(
        self, folder: Path, disk: Disk | None = None, *, max_pixels: int = MAX_PIXELS
    ) -> None:
        self.folder = folder
        self._disk = disk or Disk()
        self._max_pixels = max_pixels
        self._large = threading.Lock()

    def add(self, data: bytes, name: str = "upload") -> str:
        """Keep a PNG, JPEG or WebP picture; its id. The same pixels give the same id, whatever the file was.

        It is turned upright as its EXIF says, of an animation the first picture counts, and nothing but the
        pixels is kept: no place, no camera, no profile.

        Raises:
            LimitError: too many bytes or pixels.
            UserError: it is no such picture, or it is damaged.
            StorageError: the folder refuses.
        """
        if len(data) > MAX_BYTES:
            raise LimitError("error.input.bytes", found=len(data), most=MAX_BYTES)
        source = io.BytesIO(data)
        source.name = name
        with (
            open_picture(source, max_pixels=self._max_pixels) as image,
            self._large if image.width * image.height > _LARGE else nullcontext(),
        ):
            try:
                ImageOps.exif_transpose(image, in_place=True)
                upright = _plain(image)
            except (OSError, ValueError, SyntaxError, MemoryError) as error:
                raise UserError("error.picture.read", name=name, why=cause(error)) from error
            image.close()  # what was decoded is needed no more, and writing takes long
            return self._keep(upright)

    def keep(self, image: Image.Image) -> str:
        """Keep a picture that is in memory already; its id.

        Raises:
            StorageError: the folder refuses.
        """
        return self._keep(_plain(image))

    def _keep(self, plain: Image.Image) -> str:
        name = _identity(plain)
        path = self._path(name)
        if path.exists():
            with storage_errors(path):
                os.utime(path)  # it is in use: `clean` looks at the time
            return name
        buffer = io.BytesIO()
        plain.save(buffer, "PNG", compress_level=1)
        with storage_errors(path):
            write_whole(path, buffer.getvalue(), self._disk)
        return name

    def open(self, name: str) -> Image.Image:
        """The pixels of a picture, RGB or RGBA.

        Raises:
            UserError: there is none of that id, or its file is damaged.
        """
        path = self.path(name)
        with open_picture(path, max_pixels=self._max_pixels) as image:
            try:
                plain = _plain(image)
            except (OSError, ValueError, SyntaxError) as error:
                raise UserError("error.picture.read", name=path.name, why=cause(error)) from error
        if _identity(plain) != name:
            raise UserError("error.input.damaged", id=name[:12])
        return plain

    def size(self, name: str) -> tuple[int, int]:
        """Width and height, without reading the pixels.

        Raises:
            UserError: there is none of that id.
        """
        with open_picture(self.path(name), max_pixels=self._max_pixels) as image:
            return image.size

    def path(self, name: str) -> Path:
        """The file of a picture.

        Raises:
            UserError: there is none of that id.
        """
        if not self.has(name):
            raise UserError("error.input.missing", id=name[:12])
        return self._path(name)

    def has(self, name: str) -> bool:
        """Whether there is one of that id."""
        return bool(_ID.fullmatch(name)) and self._path(name).is_file()

    def clean(self, unused_seconds: float, keep: frozenset[str] = frozenset()) -> int:
        """Remove pictures that nobody handed in again for so long, except `keep`; how many.

        Raises:
            StorageError: the folder refuses.
        """
        if not self.folder.is_dir():
            return 0
        gone = 0
        with storage_errors(self.folder):
            remove_parts(self.folder)
            for path in self.folder.glob("*.png"):
                old = time.time() - path.stat().st_mtime >= unused_seconds
                if old and path.stem not in keep:
                    path.unlink(missing_ok=True)
                    gone += 1
        return gone

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.png"


class KeepingPictures(InputPictures):
    """For a worker: it remembers what the extensions of a job keep, so that whoever asked for the job may see it."""

    def __init__(
        self, folder: Path, disk: Disk | None = None, *, max_pixels: int = MAX_PIXELS
    ) -> None:
        super().__init__(folder, disk, max_pixels=max_pixels)
        self._kept: dict[str, None] = {}
        self._lock = threading.Lock()

    def _keep(self, plain: Image.Image) -> str:
        name = super()._keep(plain)
        with self._lock:
            self._kept[name] = None
        return name

    def taken(self) -> tuple[str, ...]:
        """What was kept since this was asked last."""
        with self._lock:
            found = tuple(self._kept)
            self._kept.clear()
        return found


def _plain(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something is transparent; a copy without metadata."""
    image.load()
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        if layered.getchannel("A").getextrema() != (255, 255):
            return _bare(layered)
    if image.mode.startswith("I"):  # 16 bits of grey: PIL would cut off instead of scaling
        image = image.convert("I").point(lambda level: level / 256).convert("L")
    return _bare(image.convert("RGB"))


def _bare(copy: Image.Image) -> Image.Image:
    copy.info.clear()  # profile, EXIF, texts: `convert` takes them along
    return copy


def _identity(image: Image.Image) -> str:
    found = hashlib.sha256(f"{image.mode} {image.width}x{image.height}\n".encode("ascii"))
    rows = max(1, _STRIP // max(1, image.width))
    for top in range(0, image.height, rows):  # all bytes at once would be the picture twice more
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        found.update(strip.tobytes())
    return found.hexdigest()
