"""What visitors typed last, so that a cleared browser storage or another window of the same browser loses no word.

A draft is a few values of one tab, kept under the visitor's id. It is small, there are few, and old ones go: nothing
here may grow with the time that the program runs.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import JsonValue

from modules.errors import LimitError
from modules.services.database import Database
from modules.services.inputs import ids_in

MAX_BYTES = 128 * 1024
MAX_TABS = 8
MAX_DRAFTS = 2000
MAX_DAYS = 90

# One entry per version of the file, applied in order and never changed afterwards.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE drafts (
        client TEXT NOT NULL,
        tab TEXT NOT NULL,
        fields TEXT NOT NULL,
        changed REAL NOT NULL,
        PRIMARY KEY (client, tab)
    );
    CREATE INDEX drafts_by_age ON drafts (changed);
    """,
)


class Drafts:
    """The drafts of one data folder; the file is made with the first draft. Safe to use from any thread.

    Raises, from every method: StorageError when the disk is full, read-only or gone, or the file is damaged.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: _Rows | None = None

    def keep(self, client: str, tab: str, fields: Mapping[str, JsonValue]) -> None:
        """Keep what a tab's controls hold, instead of what was kept before.

        Raises:
            LimitError: it is larger than a draft may be.
        """
        text = json.dumps(dict(fields), ensure_ascii=False)
        size = len(text.encode("utf-8", "replace"))
        if size > MAX_BYTES:
            raise LimitError("error.draft.size", found=size, most=MAX_BYTES)
        self._rows().put(client, tab, text, self._clock())

    def load(self, client: str, tab: str) -> dict[str, JsonValue]:
        """What was kept; empty where nothing is."""
        if not self._file.exists():
            return {}
        text = self._rows().get(client, tab, self._clock() - MAX_DAYS * 86_400)
        try:
            found = json.loads(text) if text else {}
        except ValueError:
            return {}  # a damaged draft is none
        return found if isinstance(found, dict) else {}

    def input_ids(self) -> frozenset[str]:
        """The input pictures that somebody's draft names."""
        if not self._file.exists():
            return frozenset()
        texts = self._rows().texts(self._clock() - MAX_DAYS * 86_400)
        return frozenset(found for text in texts for found in ids_in(text))

    def clear(self, client: str, tab: str) -> None:
        """Forget it."""
        if self._file.exists():
            self._rows().remove(client, tab)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _rows(self) -> "_Rows":
        with self._lock:
            if self._opened is None:
                self._opened = _Rows(self._file, MIGRATIONS, durable=False)
            return self._opened


class _Rows(Database):
    def put(self, client: str, tab: str, text: str, now: float) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT INTO drafts (client, tab, fields, changed) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (client, tab) DO UPDATE SET fields = excluded.fields, changed = excluded.changed",
                (client, tab, text.encode("utf-8", "replace").decode(), now),
            )
            newest = "SELECT rowid FROM drafts {of} ORDER BY changed DESC, rowid DESC LIMIT ?"
            db.execute(
                f"DELETE FROM drafts WHERE client = ? AND rowid NOT IN ({newest.format(of='WHERE client = ?')})",
                (client, client, MAX_TABS),
            )
            db.execute(
                f"DELETE FROM drafts WHERE rowid NOT IN ({newest.format(of='')})", (MAX_DRAFTS,)
            )
            db.execute("DELETE FROM drafts WHERE changed < ?", (now - MAX_DAYS * 86_400,))

    def get(self, client: str, tab: str, since: float) -> str | None:
        with self._reading() as db:
            row = db.execute(
                "SELECT fields FROM drafts WHERE client = ? AND tab = ? AND changed >= ?",
                (client, tab, since),
            ).fetchone()
            return None if row is None else str(row["fields"])

    def texts(self, since: float) -> list[str]:
        with self._reading() as db:
            rows = db.execute("SELECT fields FROM drafts WHERE changed >= ?", (since,))
            return [str(row["fields"]) for row in rows]

    def remove(self, client: str, tab: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM drafts WHERE client = ? AND tab = ?", (client, tab))
