"""`noisette backup` and `restore`: everything that a data folder remembers, in one file.

A backup is a ZIP with `backup.json` (what it is, and size and SHA-256 of each file) and the files under the names
that they have below the data folder: `settings.json`, `data/…`, and on demand `outputs/…`. Databases are copied
with SQLite's online backup, so that the program may go on meanwhile. Left out is what can be made again: logs,
previews, converted weights, locks.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from modules import __version__
from modules.errors import StorageError, UserError
from modules.services.disk import PART, Disk, storage_error, storage_errors
from modules.services.instance import FACTS_FILE, LOCK_FILE
from modules.settings import FILE_NAME, Settings

FORMAT = 1
MANIFEST = "backup.json"
DATA, OUTPUTS = "data", "outputs"
DATABASE = ".sqlite3"
BEFORE = "before-restore-"
"""Folders below `data` that hold what was there before a restore begin like this."""

LEFT_OUT = frozenset(
    {"logs", "spool", "converted", "extension-running", "restore.json", LOCK_FILE, FACTS_FILE}
)
"""What stands directly below `data` and can be made again, or belongs to the running process."""

_CHUNK = 1 << 20
_MOST_MANIFEST = 64 << 20


@dataclass(frozen=True)
class Summary:
    """What a backup holds: `bytes` is the sum of its files before they were packed."""

    files: int
    bytes: int
    created: float
    version: str


def write_backup(
    settings: Settings, target: Path, *, pictures: bool = False, disk: Disk | None = None
) -> Summary:
    """Write all that the data folder remembers to `target`, which is there whole or not at all, and read it again.

    Only its owner may read the file: it holds prompts and the names of visitors.

    Raises:
        UserError: `target` exists already.
        StorageError: it cannot be written, or a database of the folder is damaged.
    """
    disk = disk or Disk()
    if target.exists():
        raise UserError("error.backup.exists", file=target)
    part = target.with_name(f".{target.name}.{os.getpid()}{PART}")
    with storage_errors(target):
        try:
            with open(part, "xb", opener=_private) as file:
                _pack(settings, file, pictures=pictures)
                file.flush()
                os.fsync(file.fileno())
            summary = verify(part)
            disk.replace(part, target)
            disk.sync_folder(target.parent)
        finally:
            part.unlink(missing_ok=True)
    return summary


def verify(file: Path) -> Summary:
    """Read a whole backup and compare every file in it with what its list says.

    Raises:
        UserError: it is none, is damaged, was made by a newer version, or names a place outside the data folder.
    """
    with opened(file) as (archive, manifest):
        for name, fact in manifest["files"].items():
            with archive.open(name) as source:
                _copy(source, None, name, fact, file)
        return summary_of(manifest)


def opened(file: Path) -> "_Opened":
    """The archive and its list, both checked as far as that goes without reading the files; for `with`.

    Raises:
        UserError: see `verify`.
    """
    return _Opened(file)


def summary_of(manifest: dict[str, Any]) -> Summary:
    """What the list of a backup comes to."""
    files = manifest["files"]
    return Summary(
        len(files),
        sum(fact["bytes"] for fact in files.values()),
        float(manifest["created"]),
        str(manifest["version"]),
    )


def extract(archive: zipfile.ZipFile, manifest: dict[str, Any], file: Path, folder: Path) -> None:
    """Unpack into the empty `folder`; every file is compared with the list and is on the disk afterwards.

    Raises:
        UserError: a file in it is not what the list says.
        OSError: there is no room.
    """
    for name, fact in manifest["files"].items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, open(target, "xb") as sink:
            _copy(source, sink, name, fact, file)
            sink.flush()
            os.fsync(sink.fileno())


def check_database(path: Path) -> None:
    """Have SQLite read a whole database.

    Raises:
        StorageError: it is damaged.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            (answer,) = db.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise StorageError("error.database.damaged", path=path) from error
    if answer != "ok":
        raise StorageError("error.database.damaged", path=path)


class _Opened:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._archive: zipfile.ZipFile | None = None

    def __enter__(self) -> tuple[zipfile.ZipFile, dict[str, Any]]:
        try:
            self._archive = zipfile.ZipFile(self._file)
            return self._archive, _manifest(self._archive, self._file)
        except FileNotFoundError as error:
            raise UserError("error.backup.missing", file=self._file) from error
        except zipfile.BadZipFile as error:
            self.__exit__()
            raise UserError("error.backup.none", file=self._file) from error
        except OSError as error:
            raise storage_error(error, self._file) from error
        except UserError:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            self._archive.close()


def _pack(settings: Settings, file: IO[bytes], *, pictures: bool) -> None:
    facts: dict[str, dict[str, object]] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in _contents(settings, pictures=pictures):
            if path.suffix == DATABASE:
                with tempfile.TemporaryDirectory(prefix="noisette-backup-") as folder:
                    copy = Path(folder, path.name)
                    _copy_database(path, copy)
                    facts[name] = _add(archive, name, copy)
            else:
                try:
                    facts[name] = _add(archive, name, path)
                except FileNotFoundError:
                    continue  # what the running program removed meanwhile is no part of it any more
        manifest = {
            "noisette": "backup",
            "format": FORMAT,
            "version": __version__,
            "created": time.time(),
            "files": facts,
        }
        archive.writestr(MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1))


def _contents(settings: Settings, *, pictures: bool) -> Iterator[tuple[str, Path]]:
    """Name in the backup and file on the disk of everything that belongs in it."""
    if (settings.data_dir / FILE_NAME).is_file():
        yield FILE_NAME, settings.data_dir / FILE_NAME
    data = settings.data_dir / DATA
    for each in sorted(data.iterdir()) if data.is_dir() else ():
        if each.name not in LEFT_OUT and not each.name.startswith(BEFORE):
            yield from _files(each, PurePosixPath(DATA, each.name))
    if pictures and settings.outputs_dir.is_dir():
        yield from _files(settings.outputs_dir, PurePosixPath(OUTPUTS))


def _files(path: Path, name: PurePosixPath) -> Iterator[tuple[str, Path]]:
    """Plain files alone: a link may lead anywhere, and a part is not whole yet."""
    if path.is_symlink():
        return
    if path.is_dir():
        for each in sorted(path.iterdir()):
            yield from _files(each, name / each.name)
    elif path.is_file() and not path.name.endswith((PART, ".lock", "-wal", "-shm", "-journal")):
        yield name.as_posix(), path


def _copy_database(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as here,
            closing(sqlite3.connect(target)) as there,
        ):
            here.backup(there)
            there.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StorageError("error.database.damaged", path=source) from error
    check_database(target)


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> dict[str, object]:
    found, size = hashlib.sha256(), 0
    with open(path, "rb") as source, archive.open(name, "w", force_zip64=True) as sink:
        while data := source.read(_CHUNK):
            found.update(data)
            size += len(data)
            sink.write(data)
    return {"bytes": size, "sha256": found.hexdigest()}


def _copy(
    source: IO[bytes], sink: IO[bytes] | None, name: str, fact: dict[str, Any], file: Path
) -> None:
    """Read a file of the archive, no more of it than the list promises."""
    found, left = hashlib.sha256(), int(fact["bytes"])
    try:
        while data := source.read(min(_CHUNK, left + 1)):
            left -= len(data)
            if left < 0:
                break
            found.update(data)
            if sink is not None:
                sink.write(data)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError("error.backup.damaged", file=file, name=name) from error
    if left or found.hexdigest() != fact["sha256"]:
        raise UserError("error.backup.damaged", file=file, name=name)


def _manifest(archive: zipfile.ZipFile, file: Path) -> dict[str, Any]:
    try:
        if archive.getinfo(MANIFEST).file_size > _MOST_MANIFEST:
            raise UserError("error.backup.none", file=file)
        found = json.loads(archive.read(MANIFEST))
        number, files = int(found["format"]), found["files"]
        if found["noisette"] != "backup" or number < 1:
            raise UserError("error.backup.none", file=file)
        if number > FORMAT:
            raise UserError("error.backup.newer", file=file, version=found["version"])
        if not all(int(fact["bytes"]) >= 0 and fact["sha256"] for fact in files.values()):
            raise UserError("error.backup.none", file=file)
        summary_of(found)
    except (KeyError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise UserError("error.backup.none", file=file) from error
    there = [info for info in archive.infolist() if info.filename != MANIFEST]
    for info in there:
        if not _safe(info):
            raise UserError("error.backup.outside", file=file, name=info.filename)
    names = [info.filename for info in there]
    if sorted(names) != sorted(files):
        odd = sorted(set(names) ^ set(files)) or names
        raise UserError("error.backup.damaged", file=file, name=odd[0])
    return dict(found)


def _safe(info: zipfile.ZipInfo) -> bool:
    """A plain file at one of the places that a backup has, on every system."""
    name, path = info.filename, PurePosixPath(info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.is_dir() or kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
        return False
    if any(character in name for character in "\\:\0") or path.as_posix() != name:
        return False
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).is_reserved():
        return False
    if len(path.parts) == 1:
        return name == FILE_NAME
    below = path.parts[1]
    if path.parts[0] == DATA:
        return below not in LEFT_OUT and not below.startswith(BEFORE)
    return path.parts[0] == OUTPUTS


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def room_for(manifest: dict[str, Any], folder: Path) -> None:
    """Whether the unpacked files have room on the disk of `folder`.

    Raises:
        StorageError: they have not.
    """
    if shutil.disk_usage(folder).free < summary_of(manifest).bytes:
        raise StorageError("error.storage.full", path=folder)
