"""What becomes of jobs whose run was broken off."""

import json
import sqlite3
from collections.abc import Sequence

from modules.errors import UserError

MAX_ATTEMPTS = 2
"""So many runs of a job may end with the death of whoever ran it, without a new picture between."""


def requeue(
    db: sqlite3.Connection, ids: Sequence[int], now: float, *, counts: bool, why: str = ""
) -> None:
    """Running jobs: cancelled if that was asked for, failed after too many attempts, else queued again.

    Args:
        counts: whether the run that ended speaks against the job; not where we stopped it ourselves.
        why: what is known of the death, for the error of a job that is given up.
    """
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
                "now": now,
                "id": job_id,
            },
        )
