"""What the queue's file knows of jobs: looked up, listed, counted. `modules.services.jobs` writes it."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import ValidationError

from modules.errors import UserError
from modules.schema import GenerationRequest, Job, JobState, Layout, Picture
from modules.services import turns
from modules.services.database import Database, marks
from modules.services.inputs import ids_in
from modules.services.rows import Clients, job_of, newest, of_client, picture_of
from modules.services.tallies import tallies


class JobRows(Database):
    """The rows of jobs, each with its pictures."""

    def get(self, job_id: int) -> Job:
        """One job with its pictures.

        Raises:
            UserError: there is no such job.
        """
        with self._reading():
            return self._one(job_id)

    def layout(self, job_id: int) -> Layout | None:
        """The grid that a job makes, or None; also where another version wrote it and it cannot be read."""
        with self._reading():
            return self._layout(job_id) or None

    def unfinished(self, prefix: str) -> Mapping[str, int]:
        """How many jobs wait or run of each client whose name begins so."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT client, count(*) AS count FROM jobs "
                "WHERE state IN ('queued', 'running') AND substr(client, 1, ?) = ? GROUP BY client",
                (len(prefix), prefix),
            )
            return {row["client"]: row["count"] for row in rows}

    def asked_since(
        self, prefix: str, moment: float
    ) -> Iterator[tuple[str, float, GenerationRequest]]:
        """Client, moment and request of each job that clients whose names begin so queued since `moment`; of a grid
        those of its cells. A job that was begun and queued again comes once more for each time.

        What was cancelled before anything was made of it does not count, nor does what cannot be read any more.
        """
        with self._reading() as db:
            rows = db.execute(
                "WITH theirs AS (SELECT id, client, created, request, cells FROM jobs "
                "WHERE substr(client, 1, :length) = :prefix "
                "AND NOT (state = 'cancelled' AND started IS NULL)) "
                "SELECT id, client, created AS asked, request, cells FROM theirs "
                "WHERE created > :moment UNION ALL "
                "SELECT id, client, retries.asked, request, cells FROM retries "
                "JOIN theirs ON theirs.id = retries.job_id WHERE retries.asked > :moment",
                {"moment": moment, "length": len(prefix), "prefix": prefix},
            ).fetchall()
        for row in rows:
            layout = self.layout(row["id"]) if row["cells"] else None
            if layout is not None:
                for cell in layout.cells:
                    yield row["client"], row["asked"], cell.request
                continue
            try:
                asked = GenerationRequest.model_validate_json(row["request"])
            except ValidationError:
                continue
            yield row["client"], row["asked"], asked

    def find_uid(self, uid: str) -> Job | None:
        """The job whose pictures carry `uid`, or None."""
        with self._reading() as db:
            row = db.execute("SELECT id FROM jobs WHERE uid = ?", (uid,)).fetchone()
            return None if row is None else self._one(row["id"])

    def list(
        self,
        *,
        states: Iterable[JobState] | None = None,
        client: Clients | None = None,
        newest_first: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Job]:
        """Jobs as they stand in the queue (clients apart), or the newest first."""
        wanted = list(JobState if states is None else states)
        # Most jobs are over, so who looks for those goes back from the newest; the others are found by their state.
        column = "+state" if any(state.finished for state in wanted) else "state"
        condition = f"{column} IN ({marks(wanted)})"
        if newest_first:
            sql, values = newest("jobs", client, condition, wanted, limit, offset)
        else:
            of, names = of_client(client)
            sql = (
                f"SELECT * FROM jobs WHERE {condition} AND {of} ORDER BY place, id LIMIT ? OFFSET ?"
            )
            values = (*wanted, *names, limit, offset)
        with self._reading() as db:
            return self._jobs(db.execute(sql, values).fetchall())

    def positions(self, ids: Sequence[int]) -> Mapping[int, int]:
        """Of each job how many will be begun before it, with what runs; 0 when it is next or not waiting."""
        found: dict[int, int] = {}
        for at in range(0, len(ids), 500):
            with self._reading() as db:
                found |= turns.positions(db, ids[at : at + 500])
        return found

    def cancels(self) -> Sequence[int]:
        """Ids of running jobs that somebody, in whatever process, asked to stop."""
        with self._reading(alone=True) as db:
            return [
                row["id"]
                for row in db.execute(
                    "SELECT id FROM jobs WHERE state = 'running' AND cancel_requested = 1"
                )
            ]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        with self._reading(alone=True) as db:
            return tallies(db)

    def input_ids(self) -> frozenset[str]:
        """The input pictures that any job names: what it takes to make its pictures again."""
        with self._reading() as db:
            rows = db.execute("SELECT request FROM jobs")
            return frozenset(found for row in rows for found in ids_in(row["request"]))

    # ------------------------------------------------------------------------------------------- inside

    def _layout(self, job_id: int) -> Layout | Literal[False] | None:
        """False where there is one that cannot be read."""
        row = self._connection.execute(
            "SELECT layout FROM layouts WHERE job_id = ?", (job_id,)
        ).fetchone()
        if row is None:
            return None
        try:
            return Layout.model_validate_json(row["layout"])
        except ValidationError:
            return False

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
                f"SELECT * FROM pictures WHERE job_id IN ({marks(some)}) ORDER BY number", some
            ):
                pictures.setdefault(picture["job_id"], []).append(picture_of(picture))
        return [job_of(row, tuple(pictures.get(row["id"], ()))) for row in rows]
