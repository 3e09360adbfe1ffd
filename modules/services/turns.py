"""Whose job is next: clients take turns, and each client's jobs stand in an order of their own.

Next is the first waiting job of the client whose last job was begun longest ago, so that nobody waits behind a hundred
pictures of somebody else. All functions work inside a transaction of the queue's file.
"""

import sqlite3

from modules.schema import Job


def take(db: sqlite3.Connection, owner: str, now: float, job_id: int | None) -> sqlite3.Row | None:
    """Mark the next waiting job (or just `job_id`, if it waits) as running; its id and request, None if there is none."""
    row: sqlite3.Row | None = db.execute(
        "UPDATE jobs SET state = 'running', owner = :owner, started = :now, finished = NULL, "
        "error = NULL, turn = (SELECT max(turn) + 1 FROM jobs) "
        "WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND (:id IS NULL OR id = :id) "
        "ORDER BY (SELECT max(turn) FROM jobs AS all_jobs WHERE all_jobs.client = jobs.client), "
        "place LIMIT 1) RETURNING id, request",
        {"owner": owner, "now": now, "id": job_id},
    ).fetchone()
    return row


def move(db: sqlite3.Connection, job: Job, place: int) -> None:
    """Put a waiting job at `place` among those of its client; the others share the places that they had."""
    rows = db.execute(
        "SELECT id, place FROM jobs WHERE state = 'queued' AND client = ? ORDER BY place",
        (job.client,),
    ).fetchall()
    order = [row["id"] for row in rows if row["id"] != job.id]
    order.insert(max(0, place), job.id)
    db.executemany(
        "UPDATE jobs SET place = ? WHERE id = ?",
        [(row["place"], each) for row, each in zip(rows, order, strict=True)],
    )


def position(db: sqlite3.Connection, job_id: int) -> int:
    """How many jobs will be begun before this one, with what runs; 0 when it is next or not waiting."""
    own = db.execute(
        "SELECT client, (SELECT count(*) FROM jobs AS mine WHERE mine.state = 'queued' AND "
        "mine.client = jobs.client AND mine.place < jobs.place) AS before "
        "FROM jobs WHERE id = ? AND state = 'queued'",
        (job_id,),
    ).fetchone()
    if own is None:
        return 0
    clients = db.execute(
        "SELECT client, count(*) AS waiting, min(place) AS first, "
        "(SELECT max(turn) FROM jobs AS all_jobs WHERE all_jobs.client = jobs.client) AS turn "
        "FROM jobs WHERE state = 'queued' GROUP BY client ORDER BY turn, first"
    ).fetchall()
    (running,) = db.execute("SELECT count(*) FROM jobs WHERE state = 'running'").fetchone()
    found, later = int(running), 0  # who comes after us in a round has had one round less
    for row in clients:
        found += (
            min(row["waiting"], own["before"] + 1 - later)
            if row["client"] != own["client"]
            else own["before"]
        )
        later = later or int(row["client"] == own["client"])
    return found
