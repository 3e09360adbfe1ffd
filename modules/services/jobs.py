"""The queue on disk: a job is a row, a picture is a file plus a row; both survive kill -9.

SQLite in WAL mode with synchronous=FULL: when a method returns, what it wrote survives a power cut. Several
threads may share one `JobStore`, several processes may open the same file (the page, the command line).
"""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from modules.errors import StorageError, UserError
from modules.schema import GenerationRequest, ImageSaved, Job, JobState, Picture
from modules.schema.request import MAX_SEED, RANDOM_SEED

MAX_ATTEMPTS = 2
BUSY_SECONDS = 10.0

# One entry per version of the file, applied in order and never changed afterwards; `user_version` counts them.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        uid TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        request TEXT NOT NULL,
        client TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        owner TEXT,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        error TEXT,
        warnings TEXT NOT NULL DEFAULT '[]'
    );
    CREATE INDEX jobs_by_state ON jobs (state, id);
    CREATE INDEX jobs_by_client ON jobs (client, id);
    CREATE TABLE pictures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        path TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        infotext TEXT NOT NULL,
        created REAL NOT NULL,
        UNIQUE (job_id, number)
    );
    """,
)


class JobStore:
    """The rows of one data folder.

    Raises, from every method: StorageError when the disk is full, read-only or gone, or the file is damaged.
    """

    def __init__(self, database: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = database
        self._clock = clock
        self._lock = threading.RLock()
        with self._storage():
            database.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(database)
            try:
                self._migrate()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    # ------------------------------------------------------------------------------------------- writing

    def submit(self, request: GenerationRequest, client: str = "") -> Job:
        """Queue a job. A random seed is drawn here, so that a second attempt makes the same pictures."""
        if request.seed == RANDOM_SEED:
            request = request.replace(seed=secrets.randbelow(MAX_SEED + 1))
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO jobs (uid, state, request, client, created) VALUES (?, 'queued', ?, ?, ?)",
                (secrets.token_hex(4), request.model_dump_json(), client, self._clock()),
            )
            return self._one(cursor.lastrowid or 0)

    def claim(self, owner: str, job_id: int | None = None) -> Job | None:
        """Take the oldest queued job (or just `job_id`, if it is queued) and mark it running; None if there is none.

        A row that another version of the program wrote and that cannot be read here fails, and the next one is taken.
        """
        while True:
            with self._transaction() as db:
                row = self._take(db, owner, job_id)
                if row is None:
                    return None
                if _readable(row["request"]):
                    return self._one(row["id"])
            self.finish(row["id"], JobState.FAILED, UserError("error.job.unreadable").to_dict())

    def _take(self, db: sqlite3.Connection, owner: str, job_id: int | None) -> sqlite3.Row | None:
        row: sqlite3.Row | None = db.execute(
            "UPDATE jobs SET state = 'running', owner = :owner, started = :now, finished = NULL, "
            "error = NULL WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND "
            "(:id IS NULL OR id = :id) ORDER BY id LIMIT 1) RETURNING id, request",
            {"owner": owner, "now": self._clock(), "id": job_id},
        ).fetchone()
        return row

    def cancel(self, job_id: int) -> Job:
        """Ask a job to stop: a queued one is cancelled at once, a running one by whoever runs it, a finished one stays.

        Raises:
            UserError: there is no such job.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET cancel_requested = 1, "
                "finished = CASE state WHEN 'queued' THEN :now ELSE finished END, "
                "state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END "
                "WHERE id = :id AND state IN ('queued', 'running')",
                {"now": self._clock(), "id": job_id},
            )
            return self._one(job_id)

    def cancel_queued(self, client: str | None = None) -> int:
        """Cancel all waiting jobs (of one client); how many there were."""
        with self._transaction() as db:
            return db.execute(
                "UPDATE jobs SET state = 'cancelled', cancel_requested = 1, finished = :now "
                "WHERE state = 'queued' AND (:client IS NULL OR client = :client)",
                {"now": self._clock(), "client": client},
            ).rowcount

    def finish(
        self, job_id: int, state: JobState, error: Mapping[str, object] | None = None
    ) -> Job:
        """A running job is over; a job that is not running stays as it is."""
        if not state.finished:
            raise ValueError(f"{state} is not an end")
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = ?, error = ?, finished = ?, owner = NULL "
                "WHERE id = ? AND state = 'running'",
                (state, None if error is None else json.dumps(error), self._clock(), job_id),
            )
            return self._one(job_id)

    def release(self, job_id: int) -> Job:
        """Put a running job back into the queue because we stop, not because it failed: the attempt does not count."""
        with self._transaction() as db:
            self._requeue(db, [job_id], counts=False)
            return self._one(job_id)

    def interrupted(self, job_id: int, why: str) -> Job:
        """The process that ran this job died: queue it again, or give it up after `MAX_ATTEMPTS`.

        `why` is what is known of the death ("SIGKILL", "exit 1").
        """
        with self._transaction() as db:
            self._requeue(db, [job_id], counts=True, why=why)
            return self._one(job_id)

    def recover(self) -> Sequence[Job]:
        """Queue again what was running when the last process died, or give it up after `MAX_ATTEMPTS`.

        Only the holder of the data folder's lock may call this: nothing else can be running then.
        """
        with self._transaction() as db:
            ids = [row["id"] for row in db.execute("SELECT id FROM jobs WHERE state = 'running'")]
            self._requeue(db, ids, counts=True, why="the program ended")
            return [self._one(job_id) for job_id in ids]

    def retry(self, job_id: int) -> Job:
        """Queue a failed or cancelled job again, with its seed; pictures that it has are kept.

        Raises:
            UserError: there is no such job.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'queued', attempts = 0, cancel_requested = 0, error = NULL, "
                "finished = NULL WHERE id = ? AND state IN ('failed', 'cancelled')",
                (job_id,),
            )
            return self._one(job_id)

    def add_picture(self, job_id: int, saved: ImageSaved) -> Picture:
        """Index a picture that is on disk; one that is known already stays as it is.

        Raises:
            UserError: there is no such job.
        """
        with self._transaction() as db:
            self._one(job_id)
            added = db.execute(
                "INSERT INTO pictures (job_id, number, path, width, height, seed, infotext, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, number) DO NOTHING",
                (
                    job_id,
                    saved.index,
                    Path(saved.path).as_posix(),
                    saved.width,
                    saved.height,
                    saved.seed,
                    saved.infotext,
                    self._clock(),
                ),
            )
            if (
                added.rowcount
            ):  # it gets somewhere: only deaths without a new picture speak against a job
                db.execute("UPDATE jobs SET attempts = 0 WHERE id = ?", (job_id,))
            row = db.execute(
                "SELECT * FROM pictures WHERE job_id = ? AND number = ?", (job_id, saved.index)
            ).fetchone()
            return _picture(row)

    def warn(self, job_id: int, text: str) -> None:
        """Keep a warning with the job; the same one only once."""
        with self._transaction() as db:
            warnings = self._one(job_id).warnings
            if text not in warnings:
                db.execute(
                    "UPDATE jobs SET warnings = ? WHERE id = ?",
                    (json.dumps([*warnings, text]), job_id),
                )

    # ------------------------------------------------------------------------------------------- reading

    def get(self, job_id: int) -> Job:
        """One job with its pictures.

        Raises:
            UserError: there is no such job.
        """
        with self._reading():
            return self._one(job_id)

    def find_uid(self, uid: str) -> Job | None:
        """The job whose pictures carry `uid`, or None."""
        with self._reading() as db:
            row = db.execute("SELECT id FROM jobs WHERE uid = ?", (uid,)).fetchone()
            return None if row is None else self._one(row["id"])

    def list(
        self,
        *,
        states: Iterable[JobState] | None = None,
        client: str | None = None,
        newest_first: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Job]:
        """Jobs in the order of their submission, or the newest first."""
        wanted = list(JobState if states is None else states)
        order = "DESC" if newest_first else "ASC"
        with self._reading() as db:
            rows = db.execute(
                f"SELECT * FROM jobs WHERE state IN ({_marks(wanted)}) AND (? IS NULL OR client = ?) "
                f"ORDER BY id {order} LIMIT ? OFFSET ?",
                (*wanted, client, client, limit, offset),
            ).fetchall()
            return self._jobs(rows)

    def position(self, job_id: int) -> int:
        """How many jobs run or wait before this one; 0 when it is next or not waiting."""
        with self._reading() as db:
            row = db.execute(
                "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND id < :id AND "
                "EXISTS (SELECT 1 FROM jobs WHERE id = :id AND state = 'queued')",
                {"id": job_id},
            ).fetchone()
            return int(row[0])

    def cancels(self) -> Sequence[int]:
        """Ids of running jobs that somebody, in whatever process, asked to stop."""
        with self._reading() as db:
            return [
                row["id"]
                for row in db.execute(
                    "SELECT id FROM jobs WHERE state = 'running' AND cancel_requested = 1"
                )
            ]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        with self._reading() as db:
            found = dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
            return {state: int(found.get(state.value, 0)) for state in JobState}

    def pictures(
        self, *, client: str | None = None, limit: int = 100, offset: int = 0
    ) -> Sequence[Picture]:
        """Pictures, the newest first."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT pictures.* FROM pictures JOIN jobs ON jobs.id = pictures.job_id "
                "WHERE ? IS NULL OR jobs.client = ? ORDER BY pictures.id DESC LIMIT ? OFFSET ?",
                (client, client, limit, offset),
            ).fetchall()
            return [_picture(row) for row in rows]

    def picture(self, picture_id: int) -> Picture:
        """One picture.

        Raises:
            UserError: there is no such picture.
        """
        with self._reading() as db:
            row = db.execute("SELECT * FROM pictures WHERE id = ?", (picture_id,)).fetchone()
            if row is None:
                raise UserError("error.picture.unknown", id=picture_id)
            return _picture(row)

    def check(self) -> None:
        """Read the whole file through.

        Raises:
            StorageError: it is damaged.
        """
        with self._reading() as db:
            if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise StorageError("error.database.damaged", path=self._path)

    def outside_changes(self) -> int:
        """A number that changes whenever another process has written; costs nothing to ask."""
        with self._reading() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    # ------------------------------------------------------------------------------------------- inside

    def _requeue(
        self, db: sqlite3.Connection, ids: Sequence[int], *, counts: bool, why: str = ""
    ) -> None:
        """Running jobs: cancelled if that was asked for, failed after too many attempts, else queued again."""
        poison = UserError("error.job.poison", attempts=MAX_ATTEMPTS, why=why)
        for job_id in ids:
            db.execute(
                "UPDATE jobs SET owner = NULL, attempts = attempts + :one, "
                "state = CASE WHEN cancel_requested THEN 'cancelled' "
                "  WHEN attempts + :one >= :most THEN 'failed' ELSE 'queued' END, "
                "error = CASE WHEN NOT cancel_requested AND attempts + :one >= :most THEN :why END, "
                "finished = CASE WHEN cancel_requested OR attempts + :one >= :most THEN :now END "
                "WHERE id = :id AND state = 'running'",
                {
                    "one": int(counts),
                    "most": MAX_ATTEMPTS,
                    "why": json.dumps(poison.to_dict()),
                    "now": self._clock(),
                    "id": job_id,
                },
            )

    def _one(self, job_id: int) -> Job:
        row = self._connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise UserError("error.job.unknown", id=job_id)
        return self._jobs([row])[0]

    def _jobs(self, rows: Sequence[sqlite3.Row]) -> Sequence[Job]:
        pictures: dict[int, list[Picture]] = {}
        ids = [row["id"] for row in rows]
        for at in range(0, len(ids), 500):
            some = ids[at : at + 500]
            for picture in self._connection.execute(
                f"SELECT * FROM pictures WHERE job_id IN ({_marks(some)}) ORDER BY number", some
            ):
                pictures.setdefault(picture["job_id"], []).append(_picture(picture))
        return [_job(row, tuple(pictures.get(row["id"], ()))) for row in rows]

    def _migrate(self) -> None:
        with self._transaction() as db:
            have = int(db.execute("PRAGMA user_version").fetchone()[0])
            if have > len(MIGRATIONS):
                raise StorageError("error.database.newer", path=self._path)
            for version, script in enumerate(MIGRATIONS[have:], start=have + 1):
                for statement in script.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time; all of it or nothing."""
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._storage():
            yield self._connection

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _words(error, self._path) from error
        except OSError as error:
            raise StorageError("error.storage.other", path=self._path, why=error) from error


def _connect(database: Path) -> sqlite3.Connection:
    db = sqlite3.connect(
        database, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        db.row_factory = sqlite3.Row
        _use_wal(db)
        db.execute("PRAGMA synchronous = FULL")
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


def _words(error: sqlite3.Error, path: Path) -> StorageError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return StorageError("error.storage.full", path=path)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StorageError("error.storage.forbidden", path=path)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StorageError("error.database.damaged", path=path)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError("error.database.busy", path=path)
    return StorageError("error.storage.other", path=path, why=error)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _job(row: sqlite3.Row, pictures: tuple[Picture, ...]) -> Job:
    return Job(
        id=row["id"],
        uid=row["uid"],
        state=JobState(row["state"]),
        request=_request(row["request"]),
        client=row["client"],
        attempts=row["attempts"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        error=None if row["error"] is None else json.loads(row["error"]),
        warnings=tuple(json.loads(row["warnings"])),
        pictures=pictures,
    )


def _readable(text: str) -> bool:
    try:
        GenerationRequest.model_validate_json(text)
    except ValidationError:
        return False
    return True


def _request(text: str) -> GenerationRequest:
    """The request of a row; of one that another version wrote, what this version understands."""
    try:
        return GenerationRequest.model_validate_json(text)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        data = json.loads(text)
        return GenerationRequest.model_validate({k: v for k, v in data.items() if k not in wrong})


def _picture(row: sqlite3.Row) -> Picture:
    return Picture(
        id=row["id"],
        job_id=row["job_id"],
        index=row["number"],
        path=Path(row["path"]),
        width=row["width"],
        height=row["height"],
        seed=row["seed"],
        infotext=row["infotext"],
        created=row["created"],
    )
