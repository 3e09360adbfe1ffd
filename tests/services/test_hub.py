"""What a progress bar shows."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.errors import UserError
from modules.schema import (
    GenerationRequest,
    ImageSaved,
    Job,
    JobState,
    Stage,
    StageChanged,
    StepDone,
    Warned,
)
from modules.services.hub import Estimate, Hub
from tests.services.fakes import saved

JOB = Job(
    id=1,
    uid="x",
    state=JobState.RUNNING,
    request=GenerationRequest(steps=4, batch_count=2),
    client="",
    attempts=0,
    created=0,
)


@pytest.fixture
def hub():
    hub = Hub()
    hub.begin(JOB)
    return hub


def step(number, seconds=0.0, batch=0, **fields):
    return StepDone(
        job_id=1, step=number, steps=4, batch=batch, batches=2, seconds=seconds, **fields
    )


def test_progress_of_a_job(hub):
    hub.apply(StageChanged(job_id=1, stage=Stage.LOADING, batches=2))
    assert hub.snapshot(1).stage is Stage.LOADING
    hub.apply(step(2, preview="1.webp"))
    now = hub.snapshot(1)
    assert (now.step, now.steps, now.fraction, now.preview) == (2, 4, 0.25, "1.webp")
    hub.apply(step(4, batch=1))
    assert hub.snapshot(1).fraction == 1.0
    assert hub.snapshot(1).preview_number == 1
    hub.apply(saved(0).model_copy(update={"job_id": 1}))
    hub.apply(Warned.of("careful").model_copy(update={"job_id": 1}))
    hub.end(1, JobState.DONE)
    now = hub.snapshot(1)
    assert (now.state, now.saved, now.warnings, now.eta) == (
        JobState.DONE,
        1,
        (UserError("careful").to_dict(),),
        None,
    )


def test_the_next_picture_begins_without_the_steps_of_the_last(hub):
    hub.apply(StepDone(job_id=1, step=4, steps=4, batch=0, batches=2, seconds=1.0))
    hub.apply(StageChanged(job_id=1, stage=Stage.DECODING, batch=0, batches=2))
    assert hub.snapshot(1).step == 4
    for stage in (Stage.ENCODING, Stage.DENOISING):
        hub.apply(StageChanged(job_id=1, stage=stage, batch=1, batches=2))
        assert (hub.snapshot(1).batch, hub.snapshot(1).step) == (1, 0)


def test_seconds_to_go_are_measured(hub):
    hub.apply(step(1, 10.0))
    assert hub.snapshot(1).eta is None  # one point is no measure; loading is not counted
    hub.apply(step(2, 11.0))
    assert hub.snapshot(1).eta == pytest.approx(6.0)
    hub.apply(step(3, 12.0))
    hub.apply(step(4, 13.0))
    hub.apply(step(1, 16.0, batch=1))  # 1 s of step, so 2 s after the last step of a batch
    assert hub.snapshot(1).eta == pytest.approx(3.0 + 2.0)


def test_the_tail_is_remembered_for_the_next_job(hub):
    for event in (step(3, 1.0), step(4, 2.0), step(1, 6.0, batch=1)):
        hub.apply(event)
    hub.end(1, JobState.DONE)
    hub.begin(JOB.model_copy(update={"id": 2}))
    for number in (1, 2):
        hub.apply(step(number, float(number)).model_copy(update={"job_id": 2}))
    assert hub.snapshot(2).eta == pytest.approx(6.0 + 2 * 3.0)


@given(st.floats(0.001, 100), st.integers(2, 50), st.integers(1, 5))
def test_even_steps_give_an_exact_estimate(each, steps, batches):
    estimate = Estimate()
    clock = 0.0
    for batch in range(batches):
        for number in range(1, steps + 1):
            clock += each
            event = StepDone(step=number, steps=steps, batch=batch, batches=batches, seconds=clock)
            left = estimate.add(event)
            if batch or number > 1:
                done = batch * steps + number
                assert left == pytest.approx((steps * batches - done) * each, rel=1e-3, abs=1e-3)


def test_a_watcher_wakes_up_at_once_and_misses_nothing(hub):
    version = hub.version
    woken = []

    def watch():
        woken.append(hub.wait(version, 60))

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(0.05)
    hub.touch()
    thread.join(9)  # sooner than it would give up by itself
    assert woken == [version + 1]
    assert hub.wait(version, 10) == version + 1  # later than the change: answered without waiting
    assert hub.wait(version + 1, 0.01) == version + 1  # nothing new: comes back all the same


def test_events_of_unknown_jobs_are_let_pass(hub):
    hub.apply(ImageSaved(job_id=9, index=0, path="", width=1, height=1, seed=0, infotext=""))
    assert hub.snapshot(9) is None


def test_it_does_not_grow(hub):
    for job_id in range(1, 500):
        hub.begin(JOB.model_copy(update={"id": job_id}))
    assert len(hub._progress) <= 100
    assert len(hub._estimates) <= 100
    assert hub.snapshot(499) is not None


def test_a_problem_is_told_once(hub):
    version = hub.version
    for _ in range(3):
        hub.report_problem(UserError("The disk is full."))
    assert hub.version == version + 1
    hub.report_problem(None)
    assert hub.problem is None
