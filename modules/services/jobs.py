"""The queue on disk: a job is a row, a picture is a file plus a row; both survive kill -9.

SQLite in WAL mode with synchronous=FULL: when a method returns, what it wrote survives a power cut. Several
threads may share one `JobStore`, several processes may open the same file (the page, the command line).
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modules.errors import StorageError, UserError
from modules.schema import GenerationRequest, ImageSaved, Job, JobState, Layout, Picture
from modules.schema.options import MAX_SEED
from modules.services import recovery, turns
from modules.services.database import Migration
from modules.services.input_rows import InputRows, add_input_rows
from modules.services.job_rows import JobRows
from modules.services.picture_rows import PictureRows, PictureSearch, Totals
from modules.services.recovery import MAX_ATTEMPTS
from modules.services.rows import Clients, job_of, of_client, picture_of, readable
from modules.services.tallies import add_tallies

__all__ = [
    "MAX_ATTEMPTS",
    "MIGRATIONS",
    "Clients",
    "JobStore",
    "PictureSearch",
    "Totals",
    "draw_seed",
]


# One entry per version of the file, applied in order and never changed afterwards; `user_version` counts them.
MIGRATIONS: tuple[Migration, ...] = (
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
    # `place` orders a client's waiting jobs; `turn` counts the jobs that were begun, so that clients take turns.
    """
    ALTER TABLE jobs ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET place = id;
    ALTER TABLE jobs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_waiting ON jobs (state, client, place);
    CREATE INDEX jobs_by_turn ON jobs (turn);
    CREATE INDEX jobs_by_clients_turn ON jobs (client, turn)
    """,
    # Apart from the jobs, which are listed often: a grid of two hundred cells is a long text.
    """
    ALTER TABLE jobs ADD COLUMN cells INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN sheets INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE layouts (
        job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        layout TEXT NOT NULL
    )
    """,
    add_input_rows,
    # Work that was done once already and is asked for again: a guest's share counts it again.
    """
    CREATE TABLE retries (
        job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        asked REAL NOT NULL
    );
    CREATE INDEX retries_by_time ON retries (asked)
    """,
    # A gallery of many thousands is shown a page at a time, and each page is found without a look at the others.
    """
    ALTER TABLE pictures ADD COLUMN client TEXT NOT NULL DEFAULT '';
    UPDATE pictures SET client = (SELECT client FROM jobs WHERE jobs.id = pictures.job_id);
    CREATE INDEX pictures_by_client ON pictures (client, id)
    """,
    add_tallies,
)


class JobStore(JobRows, PictureRows, InputRows):
    """The rows of one data folder.

    Raises, from every method: StorageError when the disk is full, read-only or gone, or the file is damaged.
    """

    def __init__(self, database: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database, MIGRATIONS)
        self._clock = clock

    # ------------------------------------------------------------------------------------------- writing

    def submit(
        self, request: GenerationRequest, client: str = "", layout: Layout | None = None
    ) -> Job:
        """Queue a job. A random seed is drawn here, so that a second attempt makes the same pictures."""
        (job,) = self.submit_all([(request, layout)], client)
        return job

    def submit_all(
        self, asked: Sequence[tuple[GenerationRequest, Layout | None]], client: str = ""
    ) -> Sequence[Job]:
        """Queue several jobs, in their order; all of them or none."""
        with self._transaction() as db:
            return [self._add(db, request, client, layout) for request, layout in asked]

    def _add(
        self,
        db: sqlite3.Connection,
        request: GenerationRequest,
        client: str,
        layout: Layout | None,
    ) -> Job:
        request = request.drawn(draw_seed)
        text, added = request.model_dump_json(), None
        while added is None:  # among many thousands of jobs two short ids meet now and then
            added = db.execute(
                "INSERT INTO jobs (uid, state, request, client, created) "
                "VALUES (?, 'queued', ?, ?, ?) ON CONFLICT (uid) DO NOTHING RETURNING id",
                (secrets.token_hex(4), text, client, self._clock()),
            ).fetchone()
        cells, sheets = (0, 0) if layout is None else (len(layout.cells), layout.sheets)
        row = db.execute(
            "UPDATE jobs SET place = id, cells = ?, sheets = ? WHERE id = ? RETURNING *",
            (cells, sheets, added["id"]),
        ).fetchone()
        if layout is not None:
            db.execute(
                "INSERT INTO layouts (job_id, layout) VALUES (?, ?)",
                (added["id"], layout.model_dump_json(exclude_defaults=True)),
            )
        return job_of(row, (), request)

    def claim(self, owner: str, job_id: int | None = None) -> Job | None:
        """Take the next queued job (or just `job_id`, if it is queued) and mark it running; None if there is none.

        Clients take turns: next is the first waiting job of the client whose last job was begun longest ago, so
        that nobody waits behind a hundred pictures of somebody else.
        A row that another version of the program wrote and that cannot be read here fails, and the next one is taken.
        """
        while True:
            with self._transaction() as db:
                row = turns.take(db, owner, self._clock(), job_id)
                if row is None:
                    return None
                layout = self._layout(row["id"]) if row["cells"] else None
                if readable(row["request"]) and layout is not False:
                    (job,) = self._jobs([row])
                    return job.model_copy(update={"layout": layout})
            self.finish(row["id"], JobState.FAILED, UserError("error.job.unreadable").to_dict())

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

    def cancel_queued(self, client: Clients | None = None) -> int:
        """Cancel all waiting jobs (of one client); how many there were."""
        of, names = of_client(client)
        with self._transaction() as db:
            return db.execute(
                "UPDATE jobs SET state = 'cancelled', cancel_requested = 1, finished = ? "
                f"WHERE state = 'queued' AND {of}",
                (self._clock(), *names),
            ).rowcount

    def move(self, job_id: int, place: int) -> Job:
        """Put a waiting job at `place` (0 is next) among the waiting jobs of its client; beyond the end is the end.

        Jobs of others keep their places.

        Raises:
            UserError: there is no such job, or it does not wait.
        """
        with self._transaction() as db:
            job = self._one(job_id)
            if job.state is not JobState.QUEUED:
                raise UserError("error.job.not_waiting", id=job_id)
            turns.move(db, job, place)
            return job

    def finish(
        self, job_id: int, state: JobState, error: Mapping[str, object] | None = None
    ) -> Job:
        """A running job is over; a job that is not running stays as it is."""
        if not state.finished:
            raise ValueError(f"{state} is not an end")
        with self._transaction() as db:
            row = db.execute(
                "UPDATE jobs SET state = ?, error = ?, finished = ?, owner = NULL "
                "WHERE id = ? AND state = 'running' RETURNING *",
                (state, None if error is None else json.dumps(error), self._clock(), job_id),
            ).fetchone()
            return self._one(job_id) if row is None else self._jobs([row])[0]

    def release(self, job_id: int) -> Job:
        """Put a running job back into the queue because we stop, not because it failed: the attempt does not count."""
        with self._transaction() as db:
            recovery.requeue(db, [job_id], self._clock(), counts=False)
            return self._one(job_id)

    def interrupted(self, job_id: int, why: str) -> Job:
        """The process that ran this job died: queue it again, or give it up after `MAX_ATTEMPTS`.

        `why` is what is known of the death ("SIGKILL", "exit 1").
        """
        with self._transaction() as db:
            recovery.requeue(db, [job_id], self._clock(), counts=True, why=why)
            return self._one(job_id)

    def recover(self) -> Sequence[Job]:
        """Queue again what was running when the last process died, or give it up after `MAX_ATTEMPTS`.

        Only the holder of the data folder's lock may call this: nothing else can be running then.
        """
        with self._transaction() as db:
            ids = [row["id"] for row in db.execute("SELECT id FROM jobs WHERE state = 'running'")]
            recovery.requeue(db, ids, self._clock(), counts=True, why="the program ended")
            return [self._one(job_id) for job_id in ids]

    def retry(self, job_id: int) -> Job:
        """Queue a failed or cancelled job again, with its seed; pictures that it has are kept.

        Raises:
            UserError: there is no such job, or it neither failed nor was stopped.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT INTO retries (job_id, asked) SELECT id, ? FROM jobs "
                "WHERE id = ? AND state IN ('failed', 'cancelled') AND started IS NOT NULL",
                (self._clock(), job_id),
            )
            again = db.execute(
                "UPDATE jobs SET state = 'queued', attempts = 0, cancel_requested = 0, error = NULL, "
                "finished = NULL WHERE id = ? AND state IN ('failed', 'cancelled')",
                (job_id,),
            )
            job = self._one(job_id)
            if not again.rowcount:
                raise UserError("error.job.no_retry", id=job_id)
            return job

    def add_picture(self, job_id: int, saved: ImageSaved) -> Picture:
        """Index a picture that is on disk; one that is known already stays as it is.

        Raises:
            UserError: there is no such job.
        """
        with self._transaction() as db:
            job = db.execute("SELECT client FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if job is None:
                raise UserError("error.job.unknown", id=job_id)
            row = db.execute(
                "INSERT INTO pictures "
                "(job_id, client, number, path, width, height, seed, infotext, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (job_id, number) DO NOTHING RETURNING *",
                (
                    job_id,
                    job["client"],
                    saved.index,
                    Path(saved.path).as_posix(),
                    saved.width,
                    saved.height,
                    saved.seed,
                    saved.infotext,
                    self._clock(),
                ),
            ).fetchone()
            if row is None:
                row = db.execute(
                    "SELECT * FROM pictures WHERE job_id = ? AND number = ?", (job_id, saved.index)
                ).fetchone()
            else:  # it gets somewhere: only deaths without a new picture speak against a job
                db.execute("UPDATE jobs SET attempts = 0 WHERE id = ?", (job_id,))
            return picture_of(row)

    def warn(self, job_id: int, warning: Mapping[str, object]) -> None:
        """Keep a warning (`UserError.to_dict`) with the job; the same one only once."""
        with self._transaction() as db:
            warnings = self._one(job_id).warnings
            if warning not in warnings:
                db.execute(
                    "UPDATE jobs SET warnings = ? WHERE id = ?",
                    (json.dumps([*warnings, warning]), job_id),
                )

    # ------------------------------------------------------------------------------------------- the file

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
        return self._changes_of_others()


def draw_seed() -> int:
    """A random seed."""
    return secrets.randbelow(MAX_SEED + 1)
