"""What `tools/load.py` would notice; running it is for people, as it takes a minute."""

import importlib.util
import io
from pathlib import Path

import pytest
from PIL import Image

from modules.client import NoisetteError

TOOL = Path(__file__).resolve().parents[1] / "tools" / "load.py"


@pytest.fixture(scope="module")
def load():
    spec = importlib.util.spec_from_file_location("noisette_tool_load", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Answers:
    """A server's answers to one visitor; `colours` by picture, `visible` are jobs that it may see."""

    def __init__(self, jobs, colours, visible=()):
        self.rows, self.colours, self.visible = jobs, colours, visible

    def jobs(self, limit, offset):
        return {"jobs": self.rows[offset : offset + limit]}

    def file(self, number):
        data = io.BytesIO()
        Image.new("RGB", (8, 8), self.colours[number]).save(data, "PNG")
        return data.getvalue()

    def job(self, number):
        if number not in self.visible:
            raise NoisetteError(404, {})
        return {}


def row(number, state="done", pictures=1):
    return {"id": number, "state": state, "pictures": [{"id": number}] * pictures}


GOOD = {1: (1, 2, 0), 2: (2, 2, 0)}
"""Of the seeds 513 and 514."""


@pytest.mark.parametrize(
    ("rows", "colours", "visible", "fault"),
    [
        ([row(1), row(2)], GOOD, (), None),
        ([row(1)], GOOD, (), "job 2 is lost"),
        ([row(1), row(2), row(3)], {**GOOD, 3: (0, 0, 0)}, (), "job 3 is nobody's"),
        ([row(1), row(2, "failed")], GOOD, (), "job 2 is failed"),
        ([row(1), row(2, pictures=2)], GOOD, (), "job 2 is done"),
        ([row(1), row(2)], {1: GOOD[2], 2: GOOD[1]}, (), "job 1 shows another seed"),
        ([row(1), row(2)], GOOD, (9,), "job 9 can be seen by another"),
    ],
)
def test_what_is_lost_or_crossed_is_found(load, rows, colours, visible, fault):
    visitor, other = (load.Visitor("http://127.0.0.1:1", n, load.Seen()) for n in (1, 2))
    visitor.client = Answers(rows, colours, visible)
    visitor.seeds, other.seeds = {1: 513, 2: 514}, {9: 1}
    visitor.check(other)
    found = visitor.seen.faults
    assert (found == []) if fault is None else any(fault in each for each in found)
    summed = load.summary([visitor.seen], 1, 1.0, 0)
    assert summed["good"] == (fault is None)


def test_slow_requests_are_not_good(load):
    seen = load.Seen(submitted=1, done=1, looks=[0.01] * 98 + [0.3] * 2)
    assert not load.summary([seen], 1, 1.0, 0)["good"]
    seen.looks = [0.01] * 99 + [0.3]
    assert load.summary([seen], 1, 1.0, 0)["looks"]["p99_ms"] == 300
    seen.looks = [0.01] * 200 + [0.3]
    assert load.summary([seen], 1, 1.0, 0)["good"]


@pytest.mark.parametrize(
    ("worse", "good"),
    [
        ({}, True),
        ({"submits": [0.005] * 900 + [0.05] * 100}, False),  # the longer the queue, the slower
        ({"submits": [0.011] * 1000}, False),
        ({"cancel": 2.5}, False),
        ({"gone": 999}, False),
        ({"megabytes": 120.0}, False),
    ],
)
def test_a_queue_that_slows_down_or_grows_is_not_good(load, worse, good):
    usual = {"submits": [0.005] * 1000, "looks": [0.01] * 50, "cancel": 0.1, "gone": 1000}
    found = load.line_summary(1000, **(usual | {"megabytes": 5.0} | worse))
    assert found["good"] is good
