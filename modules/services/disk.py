"""Writing a file so that it is either there whole or not there at all, whatever happens meanwhile."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.errors import StorageError, reason

PART = ".part"

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Disk:
    """The three things that saving asks of a disk; tests hand in one that fails or dies half-way."""

    def write(self, path: Path, data: bytes) -> None:
        """Write a new file and wait until it is on the disk."""
        with open(path, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def replace(self, source: Path, target: Path) -> None:
        """Give a file its final name, in one step."""
        os.replace(source, target)

    def sync_folder(self, folder: Path) -> None:
        """Wait until the names in `folder` are on the disk (Windows offers no such thing)."""
        if os.name == "nt":
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_whole(path: Path, data: bytes, disk: Disk) -> None:
    """Write `data` under `path`: temporary file beside it, fsync, rename, fsync of the folder.

    Raises:
        OSError: nothing is under `path` that was not there before, and no temporary file is left.
    """
    _make_folder(path.parent, disk)
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PART}")
    try:
        disk.write(part, data)
        disk.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    disk.sync_folder(path.parent)


def write_passing(path: Path, data: bytes) -> None:
    """Put `data` under `path` in one step, without waiting for the disk: for what need not survive a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    part.write_bytes(data)
    os.replace(part, path)


def remove_parts(folder: Path) -> int:
    """Remove temporary files that a killed process left; how many there were."""
    parts = list(folder.rglob(f".*{PART}"))
    for part in parts:
        part.unlink(missing_ok=True)
    return len(parts)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a `StorageError` that says what was found and what to do."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: Path) -> StorageError:
    """The words for what the system answered."""
    if error.errno in _FULL:
        return StorageError("error.storage.full", path=path)
    if error.errno in _FORBIDDEN:
        return StorageError("error.storage.forbidden", path=path)
    return StorageError("error.storage.other", path=path, why=reason(error))


def _make_folder(folder: Path, disk: Disk) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        disk.sync_folder(each.parent)
