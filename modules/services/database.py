"""A SQLite file in WAL mode with a version: opened, brought up to date, and its errors in words that a user can read."""

import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modules.errors import StorageError, UserError
from modules.services.disk import storage_error

BUSY_SECONDS = 10.0
READERS = 4
"""So many threads may read at once; more wait for one another."""


Migration = str | Callable[[sqlite3.Connection], None]
"""Statements, or a function where statements do not reach."""


class Database:
    """One file. Several threads may share a `Database`, several processes may open the same file.

    `migrations` has one entry per version of the file, applied in order and never changed afterwards; `user_version`
    counts them. When a transaction is over, what it wrote survives a power cut; not `durable`, only kill -9.

    Raises, from every method: StorageError when the disk is full, read-only or gone, or the file is damaged.
    """

    def __init__(
        self, path: Path, migrations: Sequence[Migration], *, durable: bool = True
    ) -> None:
        self._path = path
        self._synchronous = "FULL" if durable else "NORMAL"
        self._lock = threading.RLock()
        self._here = threading.local()
        self._readers: queue.LifoQueue[sqlite3.Connection | None] = queue.LifoQueue()
        for _ in range(READERS):
            self._readers.put(None)  # opened when it is first needed
        with self._storage():
            # Prompts are not for the other people of this machine.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._writer = _connect(path, self._synchronous)
            try:
                self._migrate(migrations)
            except BaseException:
                self._writer.close()
                raise

    def close(self) -> None:
        """Close the file, once those who read are done; it cannot be used afterwards."""
        readers = [self._readers.get() for _ in range(READERS)]
        for reader in readers:
            if reader is not None:
                reader.close()
        with self._lock:
            self._writer.close()
        for _ in readers:
            self._readers.put(self._writer)  # whoever comes now hears that it is closed

    @property
    def _connection(self) -> sqlite3.Connection:
        """What this thread reads or writes with at the moment; outside of both, the one that writes."""
        current: sqlite3.Connection | None = getattr(self._here, "connection", None)
        return self._writer if current is None else current

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        with self._transaction() as db:
            have = int(db.execute("PRAGMA user_version").fetchone()[0])
            if have > len(migrations):
                raise StorageError("error.database.newer", path=self._path)
            for version, step in enumerate(migrations[have:], start=have + 1):
                if isinstance(step, str):
                    for statement in step.split(";"):
                        db.execute(statement)
                else:
                    step(db)
                db.execute(f"PRAGMA user_version = {version}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time; all of it or nothing."""
        with self._lock, self._storage(), self._using(self._writer) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self, *, alone: bool = False) -> Iterator[sqlite3.Connection]:
        """The rows as they are at this moment; waits for no writer, whose every commit waits for the disk.

        `alone`: for a single statement, which sees one moment by itself; each further one costs a change of threads.
        """
        if getattr(self._here, "connection", None) is not None:
            yield self._here.connection  # part of what this thread does already
            return
        reader = self._readers.get()
        try:
            with self._storage():
                reader = reader or _connect(self._path, self._synchronous)
                with self._using(reader) as db:
                    if not alone:
                        db.execute("BEGIN")  # several statements see the same rows
                    try:
                        yield db
                    finally:
                        if db.in_transaction:
                            db.execute("ROLLBACK")
        finally:
            self._readers.put(reader)

    @contextmanager
    def _using(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        before = getattr(self._here, "connection", None)
        self._here.connection = connection
        try:
            yield connection
        finally:
            self._here.connection = before

    def _changes_of_others(self) -> int:
        """A number that changes whenever another process has written."""
        with self._lock, self._storage():
            # Of the connection that writes: to it alone our own writing is not another's.
            return int(self._writer.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _words(error, self._path) from error
        except OSError as error:
            raise storage_error(error, self._path) from error


def marks(values: Sequence[object]) -> str:
    """As many question marks as there are values."""
    return ", ".join("?" * len(values))


def _connect(database: Path, synchronous: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        database, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        db.row_factory = sqlite3.Row
        _use_wal(db)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    # Turning WAL on does not wait for others by itself, as every other statement does.
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _full(path: Path) -> bool:
    # With WAL a disk without room answers as a fault of the disk: its index of shared memory cannot grow.
    try:
        return shutil.disk_usage(path.parent).free < 256 * 1024
    except OSError:
        return False


def _words(error: sqlite3.Error, path: Path) -> StorageError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _full(path)):
        return StorageError("error.storage.full", path=path)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StorageError("error.storage.forbidden", path=path)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StorageError("error.database.damaged", path=path)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError("error.database.busy", path=path)
    return StorageError("error.storage.other", path=path, why=UserError("why.os.other", what=error))
