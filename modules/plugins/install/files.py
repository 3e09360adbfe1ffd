"""Copying the files of an extension from where nobody can be trusted.

Only plain files and folders, under plain names that every system takes; no links; not too many and not too much. What
is wrong is refused before anything of it is used.
"""

import hashlib
import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from modules.errors import ExtensionError, reason
from modules.plugins.requirements import FOLDER

MOST_FILES = 5_000
MOST_BYTES = 512 * 2**20
MOST_RATIO = 200
"""Bytes out of a zip for each byte in it, at the most; what programs and pictures are packed by is far less."""
_SKIPPED = frozenset({".git", "__pycache__", ".venv", FOLDER, ".DS_Store", ".pytest_cache", ".mypy_cache", ".origin.json"})  # fmt: skip
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)
_BLOCK = 1 << 16


@dataclass(frozen=True)
class File:
    """One file of an extension: its path with "/", its size in bytes, the SHA-256 of its contents."""

    path: str
    size: int
    sha256: str


def copy_folder(source: Path, target: Path) -> None:
    """Copy the files of `source` into the new folder `target`.

    Raises:
        ExtensionError: names what cannot be taken.
    """
    budget = _Budget(source.name)
    for path in _walk(source, budget):
        relative = PurePosixPath(*path.relative_to(source).parts)
        place = target / budget.plain(str(relative))
        with _opened(path, source.name) as data:
            budget.copy(data, place, str(relative))


def unpack_zip(archive: Path, target: Path) -> None:
    """Unpack `archive` into the new folder `target`; a single folder around everything is left out.

    Raises:
        ExtensionError: names what cannot be taken.
    """
    budget = _Budget(archive.name)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [each for each in opened.infolist() if not each.is_dir()]
            budget.check_zip(members, archive.stat().st_size)
            for member in members:
                budget.plain(member.filename)
            around = _around([PurePosixPath(member.filename) for member in members])
            for member in members:
                relative = PurePosixPath(member.filename).relative_to(around)
                if _SKIPPED & set(relative.parts):
                    continue
                with opened.open(member) as data:
                    budget.copy(data, target / relative, member.filename)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        # RuntimeError is how zipfile says that it needs a password.
        raise ExtensionError(
            "error.install.zip", extension=archive.name, why=str(error) or type(error).__name__
        ) from error
    except OSError as error:
        raise ExtensionError(
            "error.install.zip", extension=archive.name, why=reason(error)
        ) from error


def listing(folder: Path) -> tuple[File, ...]:
    """The files in `folder`, in the order of their paths; what Python or an installation left there is not looked at."""
    found = []
    for path in _walk(folder, _Budget(folder.name)):
        digest = hashlib.sha256()
        with open(path, "rb") as data:
            while block := data.read(_BLOCK):
                digest.update(block)
        relative = path.relative_to(folder).as_posix()
        found.append(File(relative, path.stat().st_size, digest.hexdigest()))
    return tuple(sorted(found, key=lambda file: file.path))


def digest_of(files: tuple[File, ...]) -> str:
    """One SHA-256 over the names and contents of all."""
    text = "\n".join(f"{file.sha256} {file.path}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()


def _walk(folder: Path, budget: "_Budget") -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        if entry.name in _SKIPPED or entry.name.endswith(".pyc"):
            continue
        if entry.is_symlink() or getattr(entry, "is_junction", bool)():  # Windows, Python 3.12
            raise budget.refused("link", entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), budget)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        else:
            raise budget.refused("kind", entry.name)  # a pipe, a device …


def _opened(path: Path, name: str) -> IO[bytes]:
    try:
        handle = os.open(
            path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        )
    except OSError as error:
        raise ExtensionError(
            "error.install.file", extension=name, file=path.name, why=reason(error)
        ) from error
    return os.fdopen(handle, "rb")


def _around(paths: list[PurePosixPath]) -> PurePosixPath:
    tops = {path.parts[0] for path in paths}
    if len(tops) == 1 and all(len(path.parts) > 1 for path in paths):
        return PurePosixPath(tops.pop())
    return PurePosixPath()


class _Budget:
    """What one extension may bring, and what of it is used up."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bytes = 0
        self._seen: set[str] = set()

    def refused(self, why: str, file: str) -> ExtensionError:
        return ExtensionError(f"error.install.{why}", extension=self._name, file=file[:200])

    def plain(self, path: str) -> PurePosixPath:
        """`path`, if it leads nowhere else on any system and was not there before."""
        found = PurePosixPath(path)
        odd = (
            not path
            or "\\" in path
            or ":" in path
            or any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in path)
            or found.is_absolute()
            or len(path) > 240
        )
        if odd or not all(_is_plain(part) for part in path.split("/")):
            raise self.refused("path", repr(path))
        folded = unicodedata.normalize("NFC", path).casefold()
        if folded in self._seen:
            raise self.refused("twice", path)
        self._seen.add(folded)
        if len(self._seen) > MOST_FILES:
            raise ExtensionError("error.install.many", extension=self._name, most=MOST_FILES)
        return found

    def check_zip(self, members: list[zipfile.ZipInfo], packed: int) -> None:
        if len(members) > MOST_FILES:
            raise ExtensionError("error.install.many", extension=self._name, most=MOST_FILES)
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise self.refused("link", member.filename)
        whole = sum(member.file_size for member in members)
        if whole > MOST_BYTES or whole > max(packed, 1) * MOST_RATIO:
            raise self._too_large()

    def copy(self, data: IO[bytes], place: Path, shown: str) -> None:
        """Block by block, counting what really comes: sizes in a header are only claims."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "xb") as out:
            while block := data.read(_BLOCK):
                self._bytes += len(block)
                if self._bytes > MOST_BYTES:
                    raise self._too_large()
                out.write(block)

    def _too_large(self) -> ExtensionError:
        return ExtensionError(
            "error.install.large", extension=self._name, most=MOST_BYTES // 2**20, ratio=MOST_RATIO
        )


def _is_plain(part: str) -> bool:
    stem = part.partition(".")[0].casefold()
    return part not in ("", ".", "..") and part == part.strip(" ") and not part.endswith(".") and stem not in _RESERVED  # fmt: skip
