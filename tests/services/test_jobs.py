"""A job is a row: it survives, is done once, and keeps its order."""

import multiprocessing
import os
import sqlite3
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modules.errors import StorageError, UserError
from modules.schema import GenerationRequest, JobState, Warned
from modules.services.jobs import MAX_ATTEMPTS, MIGRATIONS, JobStore
from tests.services.fakes import saved

REQUEST = GenerationRequest(prompt="a cat", seed=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "noisette.sqlite3"


@pytest.fixture
def store(path):
    store = JobStore(path)
    yield store
    store.close()


def test_what_is_submitted_is_there_after_a_restart(path):
    first = JobStore(path)
    job = first.submit(REQUEST, "me")
    first.close()
    second = JobStore(path)
    assert second.get(job.id) == job
    assert (job.state, job.client, job.request) == (JobState.QUEUED, "me", REQUEST)
    second.close()


def test_the_seed_is_drawn_at_submission(store):
    seeds = {store.submit(GenerationRequest()).request.seed for _ in range(20)}
    assert len(seeds) == 20
    assert all(seed >= 0 for seed in seeds)
    assert store.submit(REQUEST).request.seed == 1


def test_jobs_are_claimed_in_order_and_once(store):
    ids = [store.submit(REQUEST).id for _ in range(3)]
    assert [store.claim("me").id for _ in range(3)] == ids
    assert store.claim("me") is None


def test_one_job_may_be_claimed_by_name(store):
    store.submit(REQUEST)
    second = store.submit(REQUEST)
    assert store.claim("me", second.id).id == second.id
    assert store.claim("me", second.id) is None


def test_cancel_a_waiting_job(store):
    job = store.cancel(store.submit(REQUEST).id)
    assert job.state is JobState.CANCELLED
    assert job.finished is not None
    assert store.claim("me") is None


def test_cancel_a_running_job_is_a_wish(store):
    job = store.submit(REQUEST)
    store.claim("me")
    assert store.cancel(job.id).state is JobState.RUNNING
    assert store.cancels() == [job.id]
    assert store.finish(job.id, JobState.CANCELLED).state is JobState.CANCELLED
    assert store.cancels() == []


def test_cancel_a_finished_job_changes_nothing(store):
    job = store.submit(REQUEST)
    store.claim("me")
    store.finish(job.id, JobState.DONE)
    assert store.cancel(job.id).state is JobState.DONE


@pytest.mark.parametrize("method", ["get", "cancel", "release", "retry"])
def test_a_job_that_is_not_there(store, method):
    with pytest.raises(UserError, match="no job 7"):
        getattr(store, method)(7)


def test_cancel_queued_of_one_client(store):
    mine, other = store.submit(REQUEST, "me"), store.submit(REQUEST, "other")
    assert store.cancel_queued("me") == 1
    assert store.get(mine.id).state is JobState.CANCELLED
    assert store.get(other.id).state is JobState.QUEUED


def test_recovery_tries_once_more_and_then_gives_up(store):
    job = store.submit(REQUEST)
    for attempt in range(1, MAX_ATTEMPTS):
        store.claim("me")
        (again,) = store.recover()
        assert (again.state, again.attempts) == (JobState.QUEUED, attempt)
    store.claim("me")
    (given_up,) = store.recover()
    assert given_up.state is JobState.FAILED
    assert "died 2 times" in str(UserError.from_dict(given_up.error))
    assert store.retry(job.id).attempts == 0
    assert store.claim("me").id == job.id


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.DONE])
def test_only_what_failed_or_was_stopped_is_done_again(store, state):
    job = store.submit(REQUEST)
    if state is not JobState.QUEUED:
        store.claim("me")
    if state is JobState.DONE:
        store.finish(job.id, state)
    with pytest.raises(UserError, match=f"Job {job.id} has neither failed"):
        store.retry(job.id)
    assert store.get(job.id).state is state


def test_several_clients_may_be_one_person(store):
    for client in ("one", "cli", "other"):
        store.add_picture(store.submit(REQUEST, client).id, saved(0))
    both = ("one", "cli")
    assert [job.client for job in store.list(client=both)] == ["one", "cli"]
    assert len(store.pictures(client=both)) == 2
    assert store.cancel_queued(both) == 2
    assert store.list(client="other")[0].state is JobState.QUEUED


def test_deaths_between_which_a_picture_was_made_do_not_add_up(store):
    job = store.submit(REQUEST.replace(batch_count=9))
    for index in range(2 * MAX_ATTEMPTS):
        store.claim("me")
        store.add_picture(job.id, saved(index))
        (again,) = store.recover()
        assert (again.state, again.attempts) == (JobState.QUEUED, 1)
    store.claim("me")
    store.add_picture(job.id, saved(0))  # an old one, found again, is no progress
    (given_up,) = store.recover()
    assert given_up.state is JobState.FAILED


def test_recovery_cancels_what_was_to_be_cancelled(store):
    job = store.submit(REQUEST)
    store.claim("me")
    store.cancel(job.id)
    assert store.recover()[0].state is JobState.CANCELLED


def test_a_released_job_has_not_failed(store):
    job = store.submit(REQUEST)
    store.claim("me")
    assert store.release(job.id).attempts == 0
    assert store.claim("me").id == job.id


def test_a_picture_is_indexed_once(store):
    job = store.submit(REQUEST)
    first = store.add_picture(job.id, saved(0, "a.png"))
    assert store.add_picture(job.id, saved(0, "b.png")) == first
    assert store.get(job.id).pictures == (first,)
    assert store.picture(first.id) == first
    with pytest.raises(UserError, match="no picture 99"):
        store.picture(99)


def test_lists_and_counts(store):
    ids = [store.submit(REQUEST, client).id for client in ("a", "b", "a")]
    store.claim("me")
    store.add_picture(ids[0], saved(0))
    store.add_picture(ids[1], saved(0))
    assert [job.id for job in store.list()] == ids
    assert [job.id for job in store.list(client="a", newest_first=True)] == [ids[2], ids[0]]
    assert [job.id for job in store.list(states=[JobState.QUEUED], limit=1, offset=1)] == ids[2:]
    assert [job.id for job in store.list() if job.pictures] == ids[:2]
    assert [picture.job_id for picture in store.pictures()] == [ids[1], ids[0]]
    assert [picture.job_id for picture in store.pictures(client="a")] == [ids[0]]
    assert store.counts() == {**dict.fromkeys(JobState, 0), JobState.RUNNING: 1, JobState.QUEUED: 2}
    assert store.positions(ids) == dict(zip(ids, [0, 1, 2], strict=True))
    assert store.positions([]) == {}


def test_two_jobs_never_have_the_same_short_id(store, monkeypatch):
    drawn = iter(["0000000a", "0000000a", "0000000a", "0000000b"])
    monkeypatch.setattr("modules.services.jobs.secrets.token_hex", lambda length: next(drawn))
    assert [store.submit(REQUEST).uid for _ in range(2)] == ["0000000a", "0000000b"]
    assert len(store.list()) == 2


def test_warnings_are_kept_once_in_every_language(store):
    job = store.submit(REQUEST)
    warning = Warned.of("notice.memory.batch").warning
    store.warn(job.id, warning)
    store.warn(job.id, warning)
    (kept,) = store.get(job.id).warnings
    said = UserError.from_dict(kept)
    assert "one by one" in said.message("en") and "逐张" in said.message("zh")


def test_a_warning_of_an_early_version_is_its_text(store, path):
    job = store.submit(REQUEST)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("""UPDATE jobs SET warnings = '["careful {x}"]'""")
    (kept,) = store.get(job.id).warnings
    assert UserError.from_dict(kept).message() == "careful {x}"


def test_another_connection_is_noticed(store, path):
    before = store.outside_changes()
    store.submit(REQUEST)
    assert store.outside_changes() == before
    other = JobStore(path)
    other.submit(REQUEST)
    other.close()
    assert store.outside_changes() != before


def test_a_thousand_waiting_jobs(store):
    for _ in range(1000):
        store.submit(REQUEST)
    for _ in range(100):
        store.claim("me")
    assert len(store.list(limit=2000)) == 1000
    assert store.cancel_queued() == 900


def test_many_threads(store):
    """Each job is claimed by exactly one thread, whatever the others do."""
    claimed, errors = [], []

    def work(number):
        try:
            for _ in range(10):
                store.submit(REQUEST, str(number))
                job = store.claim(str(number))
                store.add_picture(job.id, saved(0))
                store.finish(job.id, JobState.DONE)
                claimed.append(job.id)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(claimed) == list(range(1, 81))
    assert store.counts()[JobState.DONE] == 80


def test_reading_does_not_wait_for_who_writes(store):
    """A commit waits for the disk; the page must not wait with it, and sees the rows as they were."""
    job = store.submit(REQUEST)
    with store._transaction() as db:
        db.execute("UPDATE jobs SET state = 'cancelled' WHERE id = ?", (job.id,))
        seen = []

        def look():
            seen.append((store.get(job.id).state, store.counts()[JobState.QUEUED], store.list()))

        threads = [threading.Thread(target=look) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert [(state, queued) for state, queued, _ in seen] == [(JobState.QUEUED, 1)] * 10
        assert store.get(job.id).state is JobState.CANCELLED  # to itself, who writes shows it
    assert store.get(job.id).state is JobState.CANCELLED


def test_closed_it_says_so_to_readers_and_writers(store):
    store.get(store.submit(REQUEST).id)
    store.close()
    for act in (store.counts, lambda: store.submit(REQUEST), store.outside_changes):
        with pytest.raises(StorageError):
            act()


def _submit_many(path, start):
    store = JobStore(path)
    start.wait()
    for _ in range(25):
        store.submit(REQUEST)
        store.claim("child")
    store.close()


def test_two_processes_at_once(path):
    """They even race to make the file."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    children = [context.Process(target=_submit_many, args=(path, start)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(300)  # two interpreters start on a machine that may be busy
        assert child.exitcode == 0
    store = JobStore(path)
    assert store.counts()[JobState.RUNNING] == 50
    assert len({job.uid for job in store.list()}) == 50
    store.close()


def test_a_newer_file_is_refused(path):
    JobStore(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StorageError, match="newer version"):
        JobStore(path)


def test_a_damaged_file_is_said_to_be_damaged(path):
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StorageError, match="is damaged"):
        JobStore(path)


def test_a_failed_migration_leaves_the_old_file(path, monkeypatch):
    JobStore(path).close()
    monkeypatch.setattr(
        "modules.services.jobs.MIGRATIONS", (*MIGRATIONS, "CREATE TABLE t (a); NONSENSE")
    )
    with pytest.raises(StorageError):
        JobStore(path)
    monkeypatch.undo()
    JobStore(path).close()


@pytest.mark.parametrize("change", ['"steps": null', '"steps": "many", "later": 1'])
def test_a_row_of_another_version_does_not_stop_the_queue(store, change):
    odd, good = store.submit(REQUEST), store.submit(REQUEST)
    store._connection.execute(
        "UPDATE jobs SET request = replace(request, '\"steps\":null', ?) WHERE id = ?",
        (change, odd.id),
    )
    assert store.get(odd.id).request.prompt == "a cat"
    claimed = [store.claim("me"), store.claim("me")]
    if "later" in change:
        assert store.get(odd.id).state is JobState.FAILED
        assert [job and job.id for job in claimed] == [good.id, None]
    else:
        assert [job.id for job in claimed] == [odd.id, good.id]


def test_a_full_disk_is_said_and_survived(store):
    job = store.submit(REQUEST)
    db = store._connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="disk is full"):
        for _ in range(100):
            store.submit(REQUEST.replace(prompt="x" * 30_000))
    db.execute("PRAGMA max_page_count = 1073741823")
    assert store.claim("me").id == job.id
    store.check()


class Queue(RuleBasedStateMachine):
    """Against a plain list: no sequence of calls loses a job or gets a state wrong."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = JobStore(Path(self.folder.name, "queue.sqlite3"))
        self.model = {}

    def teardown(self):
        self.store.close()
        self.folder.cleanup()

    def running(self):
        return [job_id for job_id, (state, *_) in self.model.items() if state == "running"]

    @rule()
    def submit(self):
        self.model[self.store.submit(REQUEST).id] = ("queued", 0, False)

    @rule()
    def claim(self):
        waiting = [job_id for job_id, (state, *_) in self.model.items() if state == "queued"]
        job = self.store.claim("me")
        assert (job.id if job else None) == min(waiting, default=None)
        if job:
            self.model[job.id] = ("running", *self.model[job.id][1:])

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cancel(self, data):
        job_id = data.draw(st.sampled_from(sorted(self.model)))
        state, attempts, wished = self.model[job_id]
        self.store.cancel(job_id)
        if state == "queued":
            self.model[job_id] = ("cancelled", attempts, True)
        elif state == "running":
            self.model[job_id] = (state, attempts, True)
        else:
            self.model[job_id] = (state, attempts, wished)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), end=st.sampled_from([JobState.DONE, JobState.FAILED]))
    def finish(self, data, end):
        job_id = data.draw(st.sampled_from(self.running()))
        self.store.finish(job_id, end)
        self.model[job_id] = (end.value, *self.model[job_id][1:])

    @rule()
    def crash(self):
        self.store.recover()
        for job_id in self.running():
            _, attempts, wished = self.model[job_id]
            attempts += 1
            state = "cancelled" if wished else "failed" if attempts >= MAX_ATTEMPTS else "queued"
            self.model[job_id] = (state, attempts, wished)

    @invariant()
    def same(self):
        found = {job.id: (job.state.value, job.attempts) for job in self.store.list(limit=1000)}
        assert found == {job_id: values[:2] for job_id, values in self.model.items()}


TestQueue = Queue.TestCase
TestQueue.settings = hypothesis_settings(max_examples=25, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("text", ['{"prompt": 3', "[]", "null", "", '{"prompt": ' + "[" * 5000])
def test_a_row_that_cannot_be_read_at_all_hides_no_other(store, text):
    odd, good = store.submit(REQUEST), store.submit(REQUEST)
    store._connection.execute("UPDATE jobs SET request = ? WHERE id = ?", (text, odd.id))
    assert [job.id for job in store.list()] == [odd.id, good.id]
    assert store.claim("me").id == good.id
    assert store.get(odd.id).state is JobState.FAILED


@pytest.mark.skipif(os.name == "nt", reason="rights of Unix")
def test_a_new_folder_is_not_for_others_to_read(tmp_path):
    JobStore(tmp_path / "data" / "noisette.sqlite3").close()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
