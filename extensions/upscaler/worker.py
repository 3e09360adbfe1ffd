"""The worker's part: a finished picture goes through what the options ask for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from modules.plugins import Finisher, GenerationRequest, Host, Options, hookimpl

from . import restore
from .adapter import Model, face, load_model, to_size
from .checks import check_names
from .files import NONE, find
from .infotext import written
from .options import UpscalerOptions
from .sizes import Target, target

Progress = Callable[[float], None]


class Shelf:
    """Holds the model that was used last: a folder of pictures reads its file once."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._held: dict[str, tuple[object, Model]] = {}

    def get(self, name: str, path: Path) -> Model:
        """The model of a file; the one before is let go.

        Raises:
            UserError: the file cannot be used.
        """
        state = path.stat()
        mark = (state.st_size, state.st_mtime_ns)
        if name in self._held and self._held[name][0] == mark:
            return self._held[name][1]
        self._held.clear()
        model = load_model(self._host, name, path)
        self._held[name] = (mark, model)
        return model


class UpscalerWorker:
    """Enlarges what is finished."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._shelf = Shelf(host)

    @hookimpl
    def register_finishers(
        self, request: GenerationRequest, options: Options
    ) -> Sequence[Finisher]:
        """One step, with what it needs looked up before anything is done.

        Raises:
            UserError: an upscaler is not there.
        """
        assert isinstance(options, UpscalerOptions)
        check_names(self._host, options)
        return [Enlarging(self._host, self._shelf, options)]


class Enlarging:
    """Noise off, larger, faces, sharpness. After what draws into the picture, before what frames it."""

    order = -10

    def __init__(self, host: Host, shelf: Shelf, options: UpscalerOptions) -> None:
        self._host = host
        self._shelf = shelf
        self._options = options
        self._faces = 0

    def finish(
        self,
        image: Image.Image,
        request: GenerationRequest,
        index: int,
        progress: Progress = lambda share: None,
    ) -> Image.Image:
        """The picture as it was asked for; what is transparent stays so."""
        options = self._options
        wanted = target(options, *image.size)
        alpha = image.getchannel("A") if "A" in image.getbands() else None
        plain = image.convert("RGB")
        if options.denoise:
            pixels = restore.denoise(
                np.asarray(plain), options.denoise, lambda share: progress(0.1 * share)
            )
            plain = Image.fromarray(pixels)
        plain = self._enlarged(plain, wanted, lambda share: progress(0.1 + 0.8 * share))
        if options.face.casefold() != NONE.casefold() and options.face_amount:
            plain = self._with_faces(plain, lambda share: progress(0.9 + 0.05 * share))
        if options.sharpen:
            progress(0.95)
            plain = Image.fromarray(restore.sharpen(np.asarray(plain), options.sharpen))
        if alpha is not None:
            plain.putalpha(alpha.resize(plain.size, Image.Resampling.LANCZOS))
        return plain if wanted.box is None else plain.crop(wanted.box)

    def infotext(self) -> Mapping[str, object]:
        """In the words that this kind of tool has for it."""
        return written(self._host, self._options, faces=bool(self._faces))

    def _enlarged(self, image: Image.Image, wanted: Target, progress: Progress) -> Image.Image:
        options = self._options
        second = options.blend > 0 and options.upscaler_2.casefold() != NONE.casefold()
        part = 0.5 if second else 1.0
        first = enlarged(
            self._host, self._shelf, options.upscaler, image, wanted, lambda s: progress(part * s)
        )
        if not second:
            return first
        other = enlarged(
            self._host,
            self._shelf,
            options.upscaler_2,
            image,
            wanted,
            lambda share: progress(0.5 + 0.5 * share),
        )
        return Image.blend(first, other, options.blend)

    def _with_faces(self, image: Image.Image, progress: Progress) -> Image.Image:
        found = find(self._host, self._options.face)
        pixels = np.asarray(image)
        squares = restore.faces(pixels)
        self._faces = len(squares)
        if not squares or found.path is None:
            return image
        model = self._shelf.get(found.name, found.path)
        made = restore.restore_faces(
            pixels, squares, self._options.face_amount, lambda each: face(model, each), progress
        )
        return Image.fromarray(made)


def enlarged(
    host: Host,
    shelf: Shelf,
    name: str,
    image: Image.Image,
    wanted: Target,
    progress: Progress,
) -> Image.Image:
    """An RGB picture at `wanted`'s width and height by the upscaler of that name.

    Raises:
        UserError: there is none, or its file cannot be used.
    """
    found = find(host, name)
    size = (wanted.width, wanted.height)
    if found.path is None:
        progress(0.0)
        return image.resize(size, found.filter)
    model = shelf.get(found.name, found.path)
    return to_size(model, image, *size, progress)
