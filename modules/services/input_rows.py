"""Which guest handed in which input picture: rows beside those of the jobs.

The owner needs none: he sees every picture. A row goes when the picture's file does (`HandedIn.clean`).
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence

from modules.services.access import GUEST_PREFIX
from modules.services.database import Database, marks
from modules.services.inputs import named_in


def add_input_rows(db: sqlite3.Connection) -> None:
    """The migration: the table, and a row for every picture that a guest's job names, which he was let through with."""
    db.execute(
        "CREATE TABLE handed_in (id INTEGER PRIMARY KEY AUTOINCREMENT, client TEXT NOT NULL, "
        "input TEXT NOT NULL, UNIQUE (client, input))"
    )
    asked = (
        "SELECT jobs.client, jobs.request, layouts.layout FROM jobs "
        "LEFT JOIN layouts ON layouts.job_id = jobs.id WHERE substr(jobs.client, 1, ?) = ?"
    )
    for row in db.execute(asked, (len(GUEST_PREFIX), GUEST_PREFIX)):
        for name in {*_named(row["request"]), *_named_in_cells(row["layout"])}:
            db.execute(
                "INSERT OR IGNORE INTO handed_in (client, input) VALUES (?, ?)",
                (row["client"], name),
            )


class InputRows(Database):
    """The rows; of a guest each picture has one."""

    def hand_in(self, client: str, names: Collection[str]) -> None:
        """Write down that a client has these pictures; nothing where he is no guest."""
        if not names or not client.startswith(GUEST_PREFIX):
            return
        with self._transaction() as db:
            # A row that is there already is made anew: its number says that the picture was handed in again.
            db.executemany(
                "INSERT OR REPLACE INTO handed_in (client, input) VALUES (?, ?)",
                [(client, name) for name in names],
            )

    def handed_in(self, client: str, names: Sequence[str]) -> frozenset[str]:
        """Which of these pictures a guest has; some hundreds at the most are looked up at once."""
        with self._reading(alone=True) as db:
            rows = db.execute(
                f"SELECT input FROM handed_in WHERE client = ? AND input IN ({marks(names)})",
                (client, *names),
            )
            return frozenset(row["input"] for row in rows)

    def all_handed_in(self) -> Sequence[tuple[int, str]]:
        """Every row: its number, and the picture."""
        with self._reading() as db:
            return [(row["id"], row["input"]) for row in db.execute("SELECT * FROM handed_in")]

    def forget_handed_in(self, rows: Iterable[int]) -> None:
        """Remove rows by their numbers; one that was made anew since has another."""
        with self._transaction() as db:
            db.executemany("DELETE FROM handed_in WHERE id = ?", [(each,) for each in rows])


def _named(request: str) -> Iterator[str]:
    try:
        asked = json.loads(request)
    except (ValueError, RecursionError):
        return  # a row that cannot be read names nothing
    if isinstance(asked, dict):
        yield from named_in(asked)


def _named_in_cells(layout: str | None) -> Iterator[str]:
    try:
        cells = json.loads(layout)["cells"] if layout else []
        asked = [cell["request"] for cell in cells]
    except (ValueError, RecursionError, KeyError, TypeError):
        return
    for each in asked:
        if isinstance(each, dict):
            yield from named_in(each)
