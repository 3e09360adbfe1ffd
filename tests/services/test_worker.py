"""The child process: what crosses the pipes, and what happens when it dies."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from modules.errors import UserError
from modules.schema import Failed, Finished, GenerationRequest, ImageSaved
from modules.services.jobs import JobStore
from modules.services.worker import ChildWorker, InProcessWorker, WorkerDied
from modules.settings import Settings
from tests.services.fakes import FakeGenerate, service

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_child.py")))


@pytest.fixture
def make_job(tmp_path):
    store = JobStore(tmp_path / "db")
    yield lambda **fields: store.submit(GenerationRequest(**{"seed": 3, **fields}))
    store.close()


@pytest.fixture
def make_child(tmp_path):
    children = []

    def make(**plan):
        environ = {**os.environ, "FAKE_CHILD": json.dumps(plan)}
        worker = ChildWorker(Settings(data_dir=tmp_path), command=COMMAND, environ=environ)
        children.append(worker)
        return worker

    yield make
    for child in children:
        child.close(5.0)


def run(worker, job):
    events = []
    worker.run(job, events.append)
    return events


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def test_a_job_in_a_child(make_child, make_job, tmp_path):
    events = run(make_child(), job := make_job(batch_count=2))
    assert isinstance(events[-1], Finished)
    assert {event.job_id for event in events} == {job.id}
    paths = [event.path for event in events if isinstance(event, ImageSaved)]
    assert len(paths) == 2
    assert all((tmp_path / "outputs" / path).is_file() for path in paths)


def test_the_child_stays_for_the_next_job(make_child, make_job):
    worker = make_child()
    run(worker, make_job())
    pid = worker.pid
    run(worker, make_job())
    assert worker.pid == pid is not None


def test_what_a_library_prints_does_no_harm(make_child, make_job, tmp_path):
    worker = make_child(noise=True)
    assert len([e for e in run(worker, make_job()) if isinstance(e, ImageSaved)]) == 1
    worker.close(5.0)
    assert "rubbish" in (tmp_path / "data" / "logs" / "worker.log").read_text()


def test_it_warms_up_while_nobody_waits(make_child):
    worker = make_child()
    worker.start()
    wait_for(lambda: worker.warm)


def test_cancel_reaches_it_while_it_works(make_child, make_job):
    worker = make_child(seconds=0.05)
    job = make_job(steps=100)
    events = []

    def look(event):
        events.append(event)
        if event.type == "step" and event.step == 2:
            worker.cancel(job.id)

    worker.run(job, look)
    assert events[-1] == Finished(job_id=job.id, cancelled=True)
    assert max(e.step for e in events if e.type == "step") < 100


def test_skip_leaves_out_one_batch(make_child, make_job):
    worker = make_child(seconds=0.02)
    job = make_job(steps=100, batch_count=3)
    events = []

    def look(event):
        events.append(event)
        if event.type == "step" and (event.batch, event.step) == (1, 2):
            worker.skip(job.id)

    worker.run(job, look)
    assert events[-1] == Finished(job_id=job.id)
    assert [e.index for e in events if isinstance(e, ImageSaved)] == [0, 2]
    assert [e.warning["key"] for e in events if e.type == "warning"] == ["warning.skipped"]


def test_it_lets_go_of_everything_but_not_while_it_works(make_child, make_job):
    worker = make_child()
    answers = []
    worker.run(make_job(), lambda event: answers.append(worker.unload()))
    assert not any(answers)
    pid = worker.pid
    assert worker.unload() and worker.pid is None
    assert isinstance(run(worker, make_job())[-1], Finished)
    assert worker.pid not in (None, pid)


def test_a_late_cancel_is_not_for_the_next_attempt(make_child, make_job, tmp_path):
    worker = make_child()
    job = make_job()
    run(worker, job)
    time.sleep(0.2)  # the child is through with it
    worker.cancel(job.id)
    shutil.rmtree(tmp_path / "outputs")  # or there would be nothing left to do
    assert run(worker, job)[-1] == Finished(job_id=job.id)


@pytest.mark.parametrize("where", ["encoding0", "denoising2", "decoding0"])
def test_a_child_that_is_killed_is_reported_and_replaced(make_child, make_job, where):
    worker = make_child(die=where)
    job = make_job()
    with pytest.raises(WorkerDied) as death:
        run(worker, job)
    assert death.value.returncode == -signal.SIGKILL
    assert isinstance(run(worker, job)[-1], Finished)


def test_a_child_killed_from_outside(make_child, make_job):
    worker = make_child(seconds=0.1)
    killer = threading.Timer(0.5, lambda: os.kill(worker.pid, signal.SIGKILL))
    worker.start()
    wait_for(lambda: worker.warm)
    killer.start()
    with pytest.raises(WorkerDied):
        run(worker, make_job(steps=100))


def test_a_child_that_cannot_be_built_says_why(make_child, make_job):
    failed = run(make_child(broken=True), make_job())[-1]
    assert isinstance(failed, Failed)
    assert "no engine today" in str(UserError.from_dict(failed.error))
    assert "Traceback" in failed.traceback


def test_a_command_that_does_not_exist(tmp_path, make_job):
    worker = ChildWorker(Settings(data_dir=tmp_path), command=("/nowhere/python",))
    with pytest.raises(WorkerDied):
        run(worker, make_job())


def test_it_ends_with_its_parent(make_child):
    worker = make_child()
    worker.start()
    wait_for(lambda: worker.warm)
    process = worker._child._process
    process.stdin.close()
    assert process.wait(60) == 1


def test_close_ends_it_even_when_it_does_not_listen(make_child, make_job):
    worker = make_child(seconds=600)
    job = make_job()
    events, died = [], []

    def work():
        try:
            worker.run(job, events.append)
        except WorkerDied as death:
            died.append(death)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: events)
    worker.close(0.5)
    thread.join(60)  # far less than one of its steps
    assert died
    with pytest.raises(WorkerDied):
        run(worker, job)


def test_ctrl_c_is_not_for_the_child(make_child, make_job):
    worker = make_child(seconds=0.05)
    worker.start()
    wait_for(lambda: worker.warm)
    job = make_job(steps=4)

    def look(event):
        if event.type == "step" and event.step == 1:
            os.kill(worker.pid, signal.SIGINT)

    worker.run(job, look)
    assert worker.pid is not None


def test_nothing_is_left_open(make_child, make_job):
    before = set(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    for _ in range(2):
        worker = make_child()
        run(worker, make_job())
        worker.close(5.0)
    after = set(os.listdir("/proc/self/fd"))
    assert len(after - before) <= 1  # the listing itself, and the jobs' database
    assert threading.active_count() <= threads


def test_in_process_cancel_and_close(tmp_path, make_job):
    worker = InProcessWorker(lambda: service(tmp_path, FakeGenerate(0.01)))
    job = make_job(steps=100)
    events = []

    def look(event):
        events.append(event)
        worker.cancel(job.id)

    worker.run(job, look)
    assert events[-1].cancelled
    worker.cancel(job.id)  # nothing runs: nothing happens, and the next job is not hit
    assert run(worker, make_job())[-1] == Finished(job_id=job.id + 1)
    worker.close()
    with pytest.raises(WorkerDied):
        run(worker, make_job())


def test_in_process_build_errors_fail_the_job(make_job):
    def build():
        raise UserError("No torch here.")

    (failed,) = run(InProcessWorker(build), make_job())
    assert str(UserError.from_dict(failed.error)) == "No torch here."
