"""Migrations of a file with a history, and pages of it."""

import sqlite3

import pytest

from modules.schema import GenerationRequest, ImageSaved, JobState
from modules.services.jobs import MIGRATIONS, JobStore

REQUEST = GenerationRequest(prompt="a cat", seed=1)


def saved(index=0):
    return ImageSaved(
        job_id=0, index=index, path=f"{index}.png", width=8, height=8, seed=1, infotext="a cat"
    )


@pytest.fixture
def older(tmp_path):
    """A file of an earlier version: two clients, a job of each in two states, and a picture."""
    path = tmp_path / "queue.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.row_factory = sqlite3.Row
    for step in MIGRATIONS[:5]:
        if isinstance(step, str):
            for statement in step.split(";"):
                db.execute(statement)
        else:
            step(db)
    db.execute("PRAGMA user_version = 5")
    for number, (client, state) in enumerate((("a", "done"), ("b", "failed")), start=1):
        db.execute(
            "INSERT INTO jobs (id, uid, state, request, client, created, place) "
            "VALUES (?1, ?1, ?2, ?3, ?4, 0, ?1)",
            (number, state, REQUEST.model_dump_json(), client),
        )
    db.execute(
        "INSERT INTO pictures (job_id, number, path, width, height, seed, infotext, created) "
        "VALUES (1, 0, 'x.png', 8, 8, 1, 'a cat', 0)"
    )
    db.close()
    return path


def test_a_history_is_counted_when_the_file_is_brought_up_to_date(older):
    store = JobStore(older)
    try:
        expected = {**dict.fromkeys(JobState, 0), JobState.DONE: 1, JobState.FAILED: 1}
        assert store.counts() == expected
        assert [each.job_id for each in store.pictures(client="a")] == [1]
        assert store.pictures(client="b") == []
        store.retry(2)
        assert store.counts() == {**expected, JobState.FAILED: 0, JobState.QUEUED: 1}
    finally:
        store.close()


def test_whoever_writes_is_counted(tmp_path):
    path = tmp_path / "queue.db"
    store = JobStore(path)
    try:
        for _ in range(3):
            store.submit(REQUEST)
        db = sqlite3.connect(path)
        with db:
            db.execute("UPDATE jobs SET state = 'cancelled' WHERE id = 1")
            db.execute("DELETE FROM jobs WHERE id = 2")
        db.close()
        found = {state: count for state, count in store.counts().items() if count}
        assert found == {JobState.CANCELLED: 1, JobState.QUEUED: 1}
    finally:
        store.close()


def test_pages_of_one_person_with_two_names(tmp_path):
    store = JobStore(tmp_path / "queue.db")
    try:
        jobs = [store.submit(REQUEST, client).id for client in "abcabcabc"]
        for job in jobs:
            store.add_picture(job, saved())
        mine = [job for job, client in zip(jobs, "abcabcabc", strict=True) if client in "ac"][::-1]
        pages = [
            store.list(client=("a", "c"), newest_first=True, limit=2, offset=at)
            for at in (0, 2, 4, 6)
        ]
        assert [job.id for page in pages for job in page] == mine
        assert [job.id for job in pages[0]] == mine[:2]
        shown = [store.pictures(client=("a", "c"), limit=4, offset=at) for at in (0, 4)]
        assert [picture.job_id for page in shown for picture in page] == mine
        assert [each.job_id for each in store.pictures(limit=3)] == jobs[::-1][:3]
        waiting = store.list(client=("a", "c"), states=[JobState.QUEUED], newest_first=True)
        assert [job.id for job in waiting] == mine
    finally:
        store.close()
