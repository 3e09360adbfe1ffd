"""The queue is worked through whatever happens meanwhile, and what happened is written down."""

import errno
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from modules.errors import StorageError, UserError
from modules.schema import Finished, GenerationRequest, JobState
from modules.services.jobs import JobStore
from modules.services.worker import ChildWorker, WorkerDied
from modules.settings import Settings
from tests.services.fakes import FakeGenerate, FaultyDisk, house, saved

CHILD = (sys.executable, str(Path(__file__).with_name("fake_child.py")))
ASKED = GenerationRequest(prompt="a cat", seed=3)


@pytest.fixture
def make_house(tmp_path):
    houses = []

    def make(*args, **kwargs):
        houses.append(house(tmp_path, *args, **kwargs))
        return houses[-1]

    yield make
    for each in houses:
        each.studio.close(2.0)


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


class Dying:
    """A worker whose process dies for the first `times` jobs."""

    def __init__(self, times):
        self.times = times

    def start(self):
        pass

    def run(self, job, on_event):
        self.times -= 1
        if self.times >= 0:
            raise WorkerDied(-9, "last words")
        on_event(saved(0).model_copy(update={"job_id": job.id}))
        on_event(Finished(job_id=job.id))

    def cancel(self, job_id):
        pass

    def close(self, timeout=5.0):
        pass


def test_jobs_are_done_in_order(make_house):
    here = make_house()
    jobs = [here.studio.submit(ASKED) for _ in range(5)]
    here.studio.start()
    done = [here.finish(job.id) for job in jobs]
    assert [job.state for job in done] == [JobState.DONE] * 5
    ends = [job.finished for job in done]
    assert ends == sorted(ends)
    assert all(job.finished >= job.started >= job.created for job in done)


def test_a_restart_goes_on_with_what_waits(make_house):
    first = make_house(FakeGenerate(seconds=0.05))
    jobs = [first.studio.submit(ASKED.replace(steps=50)) for _ in range(3)]
    first.studio.start()
    wait_for(lambda: first.hub.snapshot(jobs[0].id))
    first.studio.close(2.0)
    second = make_house()
    counts = second.studio.counts()
    assert (counts[JobState.QUEUED], counts[JobState.RUNNING]) == (3, 0)
    assert second.studio.job(jobs[0].id).attempts == 0  # we stopped it; it did not fail
    second.studio.start()
    assert [second.finish(job.id).state for job in jobs] == [JobState.DONE] * 3


def test_a_worker_that_dies_once_costs_nothing(make_house):
    here = make_house(worker=Dying(1))
    here.studio.start()
    job = here.finish(here.studio.submit(ASKED).id)
    assert (job.state, job.attempts, len(job.pictures)) == (JobState.DONE, 0, 1)


def test_a_job_that_kills_its_worker_is_given_up_and_the_next_is_right(make_house):
    here = make_house(worker=Dying(2))
    here.studio.start()
    poison = here.finish(here.studio.submit(ASKED).id)
    assert poison.state is JobState.FAILED
    assert "died 2 times without a picture (last: SIGKILL)" in str(
        UserError.from_dict(poison.error)
    )
    assert here.finish(here.studio.submit(ASKED).id).state is JobState.DONE


def test_a_worker_that_talks_nonsense_fails_one_job(make_house):
    class Confused(Dying):
        def run(self, job, on_event):
            if job.id == 1:
                raise KeyError("what?")
            super().run(job, on_event)

    here = make_house(worker=Confused(0))
    here.studio.start()
    failed = here.finish(here.studio.submit(ASKED).id)
    assert "KeyError" in str(UserError.from_dict(failed.error))
    assert here.finish(here.studio.submit(ASKED).id).state is JobState.DONE


@pytest.mark.parametrize("broken", [True, False])
def test_a_job_that_fails_does_not_stop_the_queue(make_house, broken):
    errors = [ValueError("oops") if broken else UserError("Plain words.")]

    def before(stage, step):
        if stage == "denoising" and errors:
            raise errors.pop()

    here = make_house(FakeGenerate(before=before))
    here.studio.start()
    first, second = (here.studio.submit(ASKED) for _ in range(2))
    failed = here.finish(first.id)
    assert failed.state is JobState.FAILED
    words = "ValueError: oops" if broken else "Plain words."
    assert words in str(UserError.from_dict(failed.error))
    assert here.finish(second.id).state is JobState.DONE
    assert here.studio.retry(first.id).state is JobState.QUEUED
    assert here.finish(first.id).state is JobState.DONE


@pytest.mark.parametrize("point", ["encoding0", "denoising1", "denoising3", "decoding0"])
def test_cancel_at_any_time(make_house, point):
    def before(stage, step):
        if f"{stage}{step}" == point and here.studio.job(first.id).state is JobState.RUNNING:
            here.studio.cancel(first.id)

    here = make_house(FakeGenerate(before=before))
    first, second = (here.studio.submit(ASKED.replace(batch_count=2)) for _ in range(2))
    here.studio.start()
    cancelled = here.finish(first.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.pictures == ()
    done = here.finish(second.id)
    assert (done.state, len(done.pictures)) == (JobState.DONE, 2)
    assert here.studio.cancel(second.id).state is JobState.DONE


def test_pictures_made_before_a_cancel_stay(make_house):
    def before(stage, step):
        if here.studio.job(job.id).pictures:
            here.studio.cancel(job.id)

    here = make_house(FakeGenerate(before=before))
    job = here.studio.submit(ASKED.replace(batch_count=3))
    here.studio.start()
    cancelled = here.finish(job.id)
    assert cancelled.state is JobState.CANCELLED
    assert [each.index for each in cancelled.pictures] == [0]


def test_cancel_while_it_waits(make_house):
    here = make_house()
    job = here.studio.submit(ASKED)
    assert here.studio.cancel(job.id).state is JobState.CANCELLED
    here.studio.start()
    assert here.finish(here.studio.submit(ASKED).id).state is JobState.DONE
    assert here.studio.job(job.id).state is JobState.CANCELLED


def test_cancel_and_submit_from_another_process(make_house, tmp_path):
    """As `noisette queue cancel` does: only the database is shared."""
    here = make_house(FakeGenerate(seconds=0.05))
    here.studio.start()
    outside = JobStore(tmp_path / "data" / "noisette.sqlite3")
    job = outside.submit(ASKED.replace(model="tiny", steps=100, width=64, height=64), "cli")
    wait_for(lambda: outside.get(job.id).state is JobState.RUNNING)
    outside.cancel(job.id)
    assert here.finish(job.id).state is JobState.CANCELLED
    outside.close()


def test_a_full_disk_fails_the_job_keeps_the_picture_and_then_all_is_well(make_house, tmp_path):
    disk = FaultyDisk("write", 0, errno.ENOSPC, only="outputs/txt2img")
    here = make_house(disk=disk)
    here.studio.start()
    job = here.finish(here.studio.submit(ASKED).id)
    assert job.state is JobState.FAILED
    error = UserError.from_dict(job.error)
    assert isinstance(error, StorageError)
    assert "disk is full" in str(error)
    disk.method = "never"
    next_job = here.finish(here.studio.submit(ASKED).id)
    assert next_job.state is JobState.DONE
    wait_for(lambda: here.studio.job(job.id).pictures)  # it came home by itself
    assert here.studio.picture_file(here.studio.job(job.id).pictures[0].id).is_file()
    assert not list((tmp_path / "data" / "unsaved").rglob("*.png"))


def test_a_full_disk_under_the_database_only_delays(make_house, monkeypatch):
    monkeypatch.setattr("modules.services.dispatcher.RETRY_SECONDS", 0.05)
    here = make_house()
    here.studio.start()
    real, failures = here.store.finish, []

    def finish(*args, **kwargs):
        if len(failures) < 3:
            failures.append(1)
            raise StorageError("error.storage.full", path="x")
        return real(*args, **kwargs)

    monkeypatch.setattr(here.store, "finish", finish)
    job = here.finish(here.studio.submit(ASKED).id)
    assert (job.state, len(failures)) == (JobState.DONE, 3)
    wait_for(lambda: here.studio.problem is None)


def test_a_picture_whose_row_could_not_be_written_gets_it_later(make_house, monkeypatch):
    monkeypatch.setattr("modules.services.dispatcher.RETRY_SECONDS", 0.05)
    here = make_house()
    real, failures = here.store.add_picture, []

    def add_picture(*args):
        if len(failures) < 2:
            failures.append(1)
            raise StorageError("error.storage.full", path="x")
        return real(*args)

    monkeypatch.setattr(here.store, "add_picture", add_picture)
    here.studio.start()
    job = here.finish(here.studio.submit(ASKED).id)
    assert (job.state, len(job.pictures)) == (JobState.DONE, 1)


def test_extensions_hear_what_happens(make_house):
    here = make_house()
    here.studio.start()
    here.finish(here.studio.submit(ASKED.replace(steps=1)).id)
    wait_for(lambda: any(event.type == "finished" for event in here.plugins.events))
    kinds = [event.type for event in here.plugins.events]
    assert kinds == ["stage", "stage", "step", "stage", "stage", "stage", "image", "finished"]


def test_close_is_quick_and_may_come_at_any_time(make_house):
    others = set(threading.enumerate())
    here = make_house(FakeGenerate(seconds=0.05))
    here.studio.start()
    job = here.studio.submit(ASKED.replace(steps=150))
    wait_for(lambda: here.hub.snapshot(job.id))
    here.studio.close(60.0)
    assert make_house().studio.job(job.id).state is JobState.QUEUED  # it was not waited for
    assert not {
        t for t in set(threading.enumerate()) - others if t.name in ("dispatcher", "watcher")
    }


def test_with_a_real_child_that_dies_in_the_middle(make_house, tmp_path):
    environ = {**os.environ, "FAKE_CHILD": json.dumps({"die": "denoising2"})}
    worker = ChildWorker(Settings(data_dir=tmp_path), command=CHILD, environ=environ)
    here = make_house(worker=worker)
    here.studio.start()
    job = here.finish(here.studio.submit(ASKED.replace(batch_count=2)).id)
    assert (job.state, job.attempts, len(job.pictures)) == (JobState.DONE, 0, 2)


def test_a_wish_to_cancel_survives_the_death_of_the_worker(make_house):
    class CancelledThenDead(Dying):
        def run(self, job, on_event):
            here.store.cancel(job.id)
            raise WorkerDied(-9)

    here = make_house(worker=CancelledThenDead(1))
    here.studio.start()
    assert here.finish(here.studio.submit(ASKED).id).state is JobState.CANCELLED


def test_leftovers_are_cleared_at_the_start(make_house, tmp_path):
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    (spool / "1.webp").write_bytes(b"old")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / ".a.png.1.part").write_bytes(b"half")
    make_house().studio.start()
    assert not list(spool.iterdir())
    assert not list((tmp_path / "outputs").iterdir())


def test_what_hears_of_the_end_may_fail_and_the_next_job_runs(make_house):
    """The count of an extension's failures is a file: on a full disk it cannot be written."""

    def settle(job, end):
        raise OSError(errno.ENOSPC, "no space left")

    here = make_house()
    here.dispatcher._settle = settle
    here.studio.start()
    for _ in range(2):
        assert here.finish(here.studio.submit(ASKED).id).state is JobState.DONE


def test_a_fault_of_ours_is_said_and_does_not_end_the_queue(make_house, monkeypatch):
    monkeypatch.setattr("modules.services.dispatcher.RETRY_SECONDS", 0.05)
    here = make_house()
    real, told = here.store.claim, []

    def claim(*args, **kwargs):
        if not told:
            told.append(1)
            raise KeyError("a fault of ours")
        return real(*args, **kwargs)

    monkeypatch.setattr(here.store, "claim", claim)
    here.studio.start()
    assert here.finish(here.studio.submit(ASKED).id).state is JobState.DONE
    assert told
    wait_for(lambda: here.studio.problem is None)


def test_a_problem_that_is_over_is_no_longer_shown_while_nothing_is_queued(make_house, monkeypatch):
    here = make_house()
    real, looks, shown = here.store.outside_changes, [], []

    def outside_changes():
        looks.append(1)
        if len(looks) == 3:  # by then the first look has woken the queue, which would say so too
            raise StorageError("error.database.busy", path="x")
        return real()

    def report(problem):
        if len(looks) >= 3:
            shown.append(problem)
        told(problem)

    told = here.hub.report_problem
    monkeypatch.setattr(here.store, "outside_changes", outside_changes)
    monkeypatch.setattr(here.hub, "report_problem", report)
    here.studio.start()
    wait_for(lambda: shown and shown[0] is not None)
    wait_for(lambda: here.studio.problem is None)


def test_a_file_in_the_rescue_folder_that_claims_to_be_enormous_stops_nobody(
    make_house, tmp_path, monkeypatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    rescued = tmp_path / "data" / "unsaved" / "txt2img"
    rescued.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(rescued / "huge.png")
    here = make_house()
    here.studio.start()
    assert (rescued / "huge.png").is_file()
