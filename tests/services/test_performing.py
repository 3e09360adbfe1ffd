"""One job done: its end is an event, whatever happened, and what is made is not dropped."""

import threading

import pytest

from modules.errors import Cancelled, UserError
from modules.schema import GenerationRequest, Job, JobState, Stage, StageChanged
from modules.services.performing import perform

JOB = Job(
    id=1,
    uid="00000001",
    state=JobState.RUNNING,
    request=GenerationRequest(seed=3),
    client="",
    attempts=1,
    created=0.0,
)


class Says:
    """A generation that does what it is told."""

    def __init__(self, action):
        self.action = action

    def run(self, job, report):
        self.action(report)

    def warm_up(self):
        return ""


def end_of(action, job, stop=None):
    events = []
    perform(Says(action), job, events.append, stop or threading.Event())
    return events


def fail(error):
    def action(report):
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserError("Plain words."), "Plain words."),
        (ValueError("oops"), "ValueError: oops"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to"), "not enough memory"),
    ],
)
def test_every_error_becomes_words(error, words):
    failed = end_of(fail(error), JOB)[-1]
    assert words in str(UserError.from_dict(failed.error))
    assert bool(failed.traceback) == (not isinstance(error, UserError))


def test_cancelled_is_no_failure():
    assert end_of(fail(Cancelled()), JOB)[-1].cancelled


@pytest.mark.parametrize("stage", list(Stage))
def test_a_cancel_stops_before_a_stage_but_never_drops_finished_pictures(stage):
    stop = threading.Event()
    stop.set()
    events = end_of(lambda report: report(StageChanged(stage=stage)), JOB, stop)
    finishing = stage in (Stage.FINISHING, Stage.SAVING)
    assert events[-1].cancelled is not finishing
