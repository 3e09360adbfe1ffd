"""Autoencoders of their own, by the name of their file, in place of a model's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.errors import UnknownNameError

SUFFIXES = (".safetensors", ".pt", ".ckpt", ".bin")
"""Of two files that differ in their suffix only, the first of these wins."""


class VaeFiles:
    """The VAE files of a folder and those below it, by name: the path below the folder, without suffix."""

    def __init__(
        self, folder: Path, check: Callable[[Path, str], None] = lambda path, family: None
    ) -> None:
        """`check`: `modules.library.single.check_vae`, given the file and the family of the model that it is for."""
        self._folder = folder
        self._check = check

    def names(self) -> list[str]:
        """What there is now, sorted."""
        return sorted(self._files())

    def find(self, name: str) -> str:
        """The name as the file spells it; any case and the suffix are fine.

        Raises:
            UnknownNameError: lists those that exist.
        """
        return self._find(name, self._files())

    def fitting(self, name: str, family: str) -> str:
        """As `find`, of a file that its header says to be a VAE for models of `family`.

        Raises:
            UnknownNameError: lists those that exist.
            ModelFileError: the file is something else, or damaged.
        """
        files = self._files()
        found = self._find(name, files)
        self._check(files[found], family)
        return found

    def path(self, name: str) -> Path:
        """The file of that name.

        Raises:
            UnknownNameError: lists those that exist.
        """
        files = self._files()
        return files[self._find(name, files)]

    def _find(self, name: str, files: dict[str, Path]) -> str:
        wanted = name.strip().casefold()
        for suffix in SUFFIXES:
            wanted = wanted.removesuffix(suffix)
        for known in files:
            if wanted == known.casefold():
                return known
        raise UnknownNameError("error.vae.unknown", found=name, known=", ".join(files) or "–")

    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        entries = sorted(self._folder.rglob("*")) if self._folder.is_dir() else []
        for suffix in SUFFIXES:
            for path in entries:
                if path.suffix.lower() == suffix and path.is_file() and path.name[0] != ".":
                    name = path.relative_to(self._folder).with_suffix("").as_posix()
                    found.setdefault(name, path)
        return dict(sorted(found.items()))


class Vaes:
    """VAE files, loaded; the one that was used last stays in memory.

    Args:
        load: `modules.library.load.load_vae`: the autoencoder of a file, for a model.
        hash: `modules.library.hashes.Hashes.short_of`: of a file.
    """

    def __init__(
        self,
        files: VaeFiles,
        load: Callable[[Path, Any], Any],
        hash: Callable[[Path], str] = lambda path: "",
    ) -> None:
        self._files = files
        self._load = load
        self._hash = hash
        self._last: tuple[tuple[object, ...], Any] | None = None

    def find(self, name: str) -> str:
        """See `VaeFiles.find`."""
        return self._files.find(name)

    def fitting(self, name: str, family: str) -> str:
        """See `VaeFiles.fitting`."""
        return self._files.fitting(name, family)

    def hash(self, name: str | None) -> str:
        """What the text in a picture says of the file; "" for the model's own.

        Raises:
            UnknownNameError: there is none of that name.
        """
        return "" if name is None else self._hash(self._files.path(name))

    @contextmanager
    def using(self, name: str | None, parts: Any) -> Iterator[None]:
        """The VAE `name` in place of the model's own while the block lasts; None leaves it alone.

        Raises:
            UnknownNameError: there is none of that name.
            ModelFileError: the file is damaged, or not for this model.
        """
        if name is None:
            self._last = None
            yield
            return
        path = self._files.path(name)
        status = path.stat()
        key = (path, status.st_mtime_ns, parts.family, str(parts.device), str(parts.dtype))
        if self._last is None or self._last[0] != key:
            self._last = None  # first: both would be in memory
            self._last = (key, self._load(path, parts))
        with parts.using(self._last[1]):
            yield
