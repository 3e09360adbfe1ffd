"""Copies of pictures where somebody wants them, in the format that the file's name asks for."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modules.errors import StorageError, UserError, reason
from modules.imaging.export import FORMATS, convert


class Export:
    """Where the pictures of a command go: a folder, or a file whose suffix names the format."""

    def __init__(self, target: str) -> None:
        """Check before any work is done that the target can be written.

        Raises:
            UserError: the suffix names no format that is written here.
            StorageError: the folder or the file cannot be written.
        """
        self._path = Path(target).expanduser()
        ends_open = target.endswith(tuple(filter(None, ("/", os.sep, os.altsep))))
        self._is_folder = ends_open or self._path.is_dir() or not self._path.suffix
        if not self._is_folder and self._path.suffix.lower() not in FORMATS:
            raise UserError(
                "error.export.suffix",
                path=target,
                found=self._path.suffix,
                known=", ".join(FORMATS),
            )
        self._try()

    def save(self, pictures: Sequence[Path]) -> list[Path]:
        """Write the copies; a second picture of one file name gets a number. Their paths.

        Raises:
            StorageError: says what was found and where the pictures are.
            UserError: the format cannot carry the picture's text.
        """
        copies: list[Path] = []
        for number, picture in enumerate(pictures):
            copy = self._copy_of(picture, number)
            try:
                if copy.suffix.lower() == picture.suffix.lower():
                    shutil.copyfile(picture, copy)
                else:
                    copy.write_bytes(convert(picture, copy.suffix))
            except OSError as error:
                raise StorageError(
                    "error.export.refused", path=copy, why=reason(error), kept=picture.parent
                ) from error
            copies.append(copy)
        return copies

    def _copy_of(self, picture: Path, number: int) -> Path:
        if self._is_folder:
            return self._path / picture.name
        return self._path.with_stem(f"{self._path.stem}-{number + 1}") if number else self._path

    def _try(self) -> None:
        folder = self._path if self._is_folder else self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self._is_folder and self._path.exists():
                with self._path.open("r+b"):
                    return
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".noisette-"):
                pass
        except OSError as error:
            why = reason(error)
            if isinstance(error, FileNotFoundError) and folder.is_dir():  # as in /proc
                why = UserError("why.os.no_new_files", folder=folder)
            raise StorageError("error.export.target", path=self._path, why=why) from error
