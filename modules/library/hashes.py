"""Hashes of models and weight files, kept so that a file is read once: sha256, of a model's denoiser."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from modules.errors import ModelFileError
from modules.library.folder import STEMS, weight_files
from modules.schema import ModelCard

FILE_NAME = "hashes.json"
SHORT = 10


class Hashes:
    """Remembers hashes in `data_dir/hashes.json` by path, size and time of change; a lost or damaged file is made anew."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / FILE_NAME

    def sha256(self, card: ModelCard) -> str:
        """64 hexadecimal digits over the weights of the model's denoiser, read only when they changed.

        Raises:
            ModelFileError: the weights are gone.
            OSError: they cannot be read.
        """
        files = (
            weight_files(card.path / "unet", STEMS["unet"]) if card.path.is_dir() else (card.path,)
        )
        return self._of(files)

    def known(self, card: ModelCard) -> str:
        """As `sha256`, of weights that were read before and have not changed since; "" where that takes reading."""
        try:
            files = (
                weight_files(card.path / "unet", STEMS["unet"])
                if card.path.is_dir()
                else (card.path,)
            )
            return self._known(files) or ""
        except (ModelFileError, OSError):
            return ""

    def short(self, card: ModelCard) -> str:
        """The first ten digits, as infotext shows them."""
        return self.sha256(card)[:SHORT]

    def short_of(self, file: Path) -> str:
        """The first ten digits of one file's.

        Raises:
            OSError: it cannot be read.
        """
        return self._of((file,))[:SHORT]

    def _of(self, files: tuple[Path, ...]) -> str:
        found = self._known(files)
        if found is not None:
            return found
        key, stamp = _stamp(files)
        digest = _hash(files)
        self._write({**self._read(), key: {"stamp": stamp, "sha256": digest}})
        return digest

    def _known(self, files: tuple[Path, ...]) -> str | None:
        key, stamp = _stamp(files)
        entry = self._read().get(key)
        if isinstance(entry, Mapping) and entry.get("stamp") == stamp:
            return str(entry["sha256"])
        return None

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # a cache: what is not there is computed
        return data if isinstance(data, dict) else {}

    def _write(self, known: dict[str, Any]) -> None:
        part = self._file.with_suffix(f".{os.getpid()}.part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(known, indent=1), encoding="utf-8")
            os.replace(part, self._file)
        except OSError:
            # A full or read-only disk costs the next look-up, not the picture.
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _stamp(files: tuple[Path, ...]) -> tuple[str, list[list[int]]]:
    """The key of the files, and what differs after each change."""
    stats = [file.stat() for file in files]
    return str(files[0].resolve()), [[stat.st_size, stat.st_mtime_ns] for stat in stats]


def _hash(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
