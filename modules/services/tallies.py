"""How many jobs are in each state, kept by the queue's file itself: asked with every look at the page, however long the
history is.
"""

import sqlite3

from modules.schema import JobState


def add_tallies(db: sqlite3.Connection) -> None:
    """The migration: the table, its first figures, and the triggers that keep it right whoever writes."""
    db.execute("CREATE TABLE tallies (state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) WITHOUT ROWID")
    db.executemany(
        "INSERT INTO tallies (state, jobs) VALUES (?1, (SELECT count(*) FROM jobs WHERE state = ?1))",
        [(state.value,) for state in JobState],
    )
    more = "UPDATE tallies SET jobs = jobs + 1 WHERE state = NEW.state;"
    less = "UPDATE tallies SET jobs = jobs - 1 WHERE state = OLD.state;"
    for name, event, does in (
        ("jobs_added", "INSERT ON jobs", more),
        ("jobs_removed", "DELETE ON jobs", less),
        ("jobs_changed", "UPDATE OF state ON jobs", less + more),
    ):
        db.execute(f"CREATE TRIGGER {name} AFTER {event} BEGIN {does} END")


def tallies(db: sqlite3.Connection) -> dict[JobState, int]:
    """How many jobs are in each state."""
    found = dict(db.execute("SELECT state, jobs FROM tallies").fetchall())
    return {state: int(found[state.value]) for state in JobState}
