"""A damaged queue is moved aside, and the pictures, which say themselves what made them, are indexed anew."""

import logging
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from modules.errors import StorageError, UserError
from modules.services.jobs import JobStore
from modules.services.outputs import Described, Outputs

log = logging.getLogger(__name__)

OWNER = "cli"
"""Whose the jobs are afterwards: the rows alone knew who had asked, so the owner of the machine gets them."""

_NUMBER = re.compile(r"(\d+)-\d+-\d+-[0-9a-f]+\.png")


def mend(database: Path, outputs: Outputs) -> UserError | None:
    """Look at the queue before it is used; what was done where it is damaged, else None.

    For the holder of the data folder's lock. The damaged file stays beside the new one.

    Raises:
        StorageError: the disk refuses, or the file is of a newer program.
    """
    if not database.exists():
        return None
    try:
        store = JobStore(database)
        try:
            store.check()
        finally:
            store.close()
    except StorageError as error:
        if error.key != "error.database.damaged":
            raise
    else:
        return None
    kept = _aside(database)
    jobs: dict[str, list[Described]] = {}
    for found in outputs.described():
        jobs.setdefault(found.job, []).append(found)
    anew = _Anew(database)
    try:
        for pictures in sorted(jobs.values(), key=lambda each: _number(each[0]) or 0):
            anew.adopt(pictures, _made(outputs.folder / pictures[0].saved.path))
    finally:
        anew.close()
    count = sum(len(each) for each in jobs.values())
    notice = UserError("notice.database.rebuilt", kept=kept, pictures=count, jobs=len(jobs))
    log.warning("%s", notice)
    return notice


class _Anew(JobStore):
    def adopt(self, pictures: Sequence[Described], made: float) -> None:
        """A finished job with its pictures, under its old number where that is known and free."""
        first = pictures[0]
        with self._transaction() as db:
            number = _number(first)
            taken = db.execute("SELECT 1 FROM jobs WHERE id = ?", (number,)).fetchone()
            row = db.execute(
                "INSERT INTO jobs (id, uid, state, request, client, created, started, finished) "
                "VALUES (?, ?, 'done', ?, ?, ?, ?, ?) RETURNING id",
                (
                    None if taken else number,
                    first.job,
                    first.request.model_dump_json(),
                    OWNER,
                    *[made] * 3,
                ),
            ).fetchone()
            db.execute("UPDATE jobs SET place = id WHERE id = ?", (row["id"],))
        self._clock = lambda: made
        for picture in pictures:
            self.add_picture(row["id"], picture.saved)


def _aside(database: Path) -> Path:
    """Move the file and what belongs to it; where it is now."""
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    kept = database.with_name(f"damaged-{stamp}-{database.name}")
    for ending in ("-wal", "-shm", ""):
        part = database.with_name(database.name + ending)
        if part.exists():
            os.replace(part, kept.with_name(kept.name + ending))
    return kept


def _number(picture: Described) -> int | None:
    """The number of the job, which stands in the name of the file."""
    found = _NUMBER.fullmatch(Path(picture.saved.path).name)
    number = int(found[1]) if found else 0
    return number if 0 < number < 1 << 62 else None


def _made(file: Path) -> float:
    return file.stat().st_mtime
