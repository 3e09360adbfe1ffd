"""Whose job is next: clients take turns, and each client's jobs stand in an order of their own.

Next is the first waiting job of the client whose last job was begun longest ago, so that nobody waits behind a hundred
pictures of somebody else. All functions work inside a transaction of the queue's file.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from modules.schema import Job
from modules.services.database import marks


def take(db: sqlite3.Connection, owner: str, now: float, job_id: int | None) -> sqlite3.Row | None:
    """Mark the next waiting job (or just `job_id`, if it waits) as running; its row, None if there is none."""
    row: sqlite3.Row | None = db.execute(
        "UPDATE jobs SET state = 'running', owner = :owner, started = :now, finished = NULL, "
        "error = NULL, turn = (SELECT max(turn) + 1 FROM jobs) "
        "WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND (:id IS NULL OR id = :id) "
        "ORDER BY (SELECT max(turn) FROM jobs AS all_jobs WHERE all_jobs.client = jobs.client), "
        "place LIMIT 1) RETURNING *",
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


def positions(db: sqlite3.Connection, ids: Sequence[int]) -> Mapping[int, int]:
    """Of each job how many will be begun before it, with what runs; 0 when it is next or not waiting.

    One look at the queue, however many are asked about: a page of a hundred waiting jobs asks about a hundred.
    """
    found = dict.fromkeys(ids, 0)
    own = db.execute(
        "SELECT id, client, before FROM (SELECT id, client, "
        "row_number() OVER (PARTITION BY client ORDER BY place) - 1 AS before "
        f"FROM jobs WHERE state = 'queued') WHERE id IN ({marks(ids)})",
        ids,
    ).fetchall()
    if not own:
        return found
    clients = db.execute(
        "SELECT client, count(*) AS waiting, min(place) AS first, "
        "(SELECT max(turn) FROM jobs AS all_jobs WHERE all_jobs.client = jobs.client) AS turn "
        "FROM jobs WHERE state = 'queued' GROUP BY client ORDER BY turn, first"
    ).fetchall()
    (running,) = db.execute("SELECT count(*) FROM jobs WHERE state = 'running'").fetchone()
    waiting = [(row["client"], int(row["waiting"])) for row in clients]
    order = {client: number for number, (client, _) in enumerate(waiting)}
    for row in own:
        before, at = int(row["before"]), order[row["client"]]
        # who comes after us in a round has had one round less
        others = sum(min(count, before + 1) for _, count in waiting[:at])
        others += sum(min(count, before) for _, count in waiting[at + 1 :])
        found[row["id"]] = int(running) + before + others
    return found
