"""An extension that does not come back in the worker is ended and named, and the next job runs."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.errors import UserError
from modules.plugins.inside import Board
from modules.schema import Event, Failed, Finished, GenerationRequest, ImageSaved, Job
from modules.services.jobs import JobStore
from modules.services.watchdog import CANCEL_SECONDS, Watchdog
from modules.services.worker import ChildWorker
from modules.settings import Settings
from tests.plugins.write import write

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_child.py")))
PLUGIN = """
from modules.plugins import Options, hookimpl
class Extension:
    @hookimpl
    def register_options(self):
        return Options
"""
WORKER = """
import time
from modules.plugins import hookimpl
class Finisher:
    order = 0
    def finish(self, image, request, index):
        BODY
        return image
class Worker:
    @hookimpl
    def register_finishers(self):
        return [Finisher()]
"""
ON = {"stuck": {"enabled": True}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    store = JobStore(tmp_path / "db")
    yield store
    store.close()


def worker(tmp_path: Path, body: str, seconds: float) -> ChildWorker:
    extensions = tmp_path / "extensions"
    code = WORKER.replace("BODY", body)
    write(extensions, "stuck", PLUGIN, more='worker = "work:Worker"', work=code)
    environ = {**os.environ, "FAKE_CHILD": json.dumps({"extensions": str(extensions)})}
    settings = Settings(data_dir=tmp_path, extension_seconds=seconds)
    return ChildWorker(settings, command=COMMAND, environ=environ)


def run(child: ChildWorker, job: Job) -> list[Event]:
    events: list[Event] = []
    child.run(job, events.append)
    return events


@pytest.mark.parametrize("body", ["time.sleep(1000)", "while True: pass"])
def test_a_hang_in_a_hook_is_ended_and_named(tmp_path: Path, store: JobStore, body: str) -> None:
    child = worker(tmp_path, body, 4.0)
    try:
        failed = run(child, store.submit(GenerationRequest(extras=ON)))[-1]
        assert isinstance(failed, Failed)
        said = UserError.from_dict(failed.error)
        assert "stuck did not come back from" in said.message()
        assert said.values["extension"] == "stuck"
        assert "work.py" in failed.traceback  # where it hung
        plain = run(child, store.submit(GenerationRequest()))
        assert isinstance(plain[-1], Finished)
        assert [event.index for event in plain if isinstance(event, ImageSaved)] == [0]
    finally:
        child.close(5.0)


def test_a_slow_one_that_comes_back_is_left_alone(tmp_path: Path, store: JobStore) -> None:
    child = worker(tmp_path, "time.sleep(1.5)", 30.0)
    try:
        assert isinstance(run(child, store.submit(GenerationRequest(extras=ON)))[-1], Finished)
    finally:
        child.close(5.0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    board = Board(tmp_path / "running")
    yield board
    board.close()


def test_each_call_has_its_own_time(board: Board) -> None:
    clock = Clock()
    dog = Watchdog(board, 100, clock)
    for _ in range(3):
        with board.inside("echo", "after_step"):
            assert dog.stuck() is None
            clock.now += 90
            assert dog.stuck() is None
    with board.inside("echo", "after_step"):
        dog.stuck()
        clock.now += 100
        found = dog.stuck()
        assert found is not None
        assert (found[0].extension, found[0].hook, found[1]) == ("echo", "after_step", 100)
    assert dog.stuck() is None


def test_a_cancelled_job_is_not_waited_for_as_long(board: Board) -> None:
    clock = Clock()
    dog = Watchdog(board, 100, clock)
    with board.inside("echo", "after_step"):
        dog.stuck()
        clock.now += CANCEL_SECONDS
        assert dog.stuck() is None
        assert dog.stuck(asked_to_stop=True) is not None


def test_nothing_runs_so_nothing_is_stuck(board: Board) -> None:
    clock = Clock()
    dog = Watchdog(board, 1, clock)
    dog.stuck()
    clock.now += 1000
    assert dog.stuck() is None
