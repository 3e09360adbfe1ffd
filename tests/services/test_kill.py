"""kill -9 loses nothing and doubles nothing, wherever it hits."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from modules.schema import GenerationRequest, JobState
from modules.services.jobs import JobStore
from tests.services.fakes import colour, house

VICTIM = Path(__file__).with_name("victim.py")
ASKED = GenerationRequest(
    prompt="a cat",
    model="tiny",
    width=64,
    height=64,
    steps=3,
    cfg_scale=7.0,
    sampler="euler_a",
    schedule="default",
    batch_size=2,
    batch_count=2,
)


def start(folder, **plan):
    child = subprocess.Popen(
        [sys.executable, str(VICTIM), json.dumps({"folder": str(folder), **plan})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n", child.communicate()[1]
    return child


def end(child, seconds=20.0):
    try:
        child.communicate(timeout=seconds)
    finally:
        child.kill()
        child.wait()
    return child.returncode


def submit(folder, count):
    store = JobStore(folder / "data" / "noisette.sqlite3")
    jobs = [store.submit(ASKED) for _ in range(count)]
    store.close()
    return jobs


def check(folder, jobs, *, complete):
    """Every file is whole, is what its name says and is there once; every row has its file."""
    store = JobStore(folder / "data" / "noisette.sqlite3")
    try:
        store.check()
        by_uid = {job.uid: job for job in jobs}
        files = {path for path in (folder / "outputs").rglob("[!.]*") if path.is_file()}
        seen = set()
        for path in files:
            number, index, seed, uid = path.stem.split("-")
            job = by_uid[uid]
            assert (int(number), int(seed)) == (job.id, job.request.seed_of(int(index)))
            with Image.open(path) as image:
                image.load()
                assert image.getpixel((0, 0)) == colour(job.request, int(index))
            assert (uid, index) not in seen, "a picture was made twice"
            seen.add((uid, index))
        for job in map(store.get, (job.id for job in jobs)):
            assert {folder / "outputs" / each.path for each in job.pictures} <= files
            if complete:
                assert job.state is JobState.DONE
                assert [each.index for each in job.pictures] == [0, 1, 2, 3]
        if complete:
            assert len(files) == 4 * len(jobs)
    finally:
        store.close()


POINTS = [
    {"disk": ["half", 1]},
    {"disk": ["write", 3]},
    {"disk": ["replace", 2]},
    {"disk": ["half", 4]},
    {"store": ["claim", "after"]},
    {"store": ["add_picture", "before"]},
    {"store": ["add_picture", "after"]},
    {"store": ["finish", "before"]},
    {"store": ["finish", "after"]},
]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: "-".join(map(str, *point.values())))
def test_killed_at_a_point(tmp_path, point):
    jobs = submit(tmp_path, 2)
    assert end(start(tmp_path, **point)) == -signal.SIGKILL
    check(tmp_path, jobs, complete=False)
    here = house(tmp_path)  # the next start
    here.studio.start()
    for job in jobs:
        here.finish(job.id)
    here.studio.close()
    check(tmp_path, jobs, complete=True)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(("child", "rounds"), [(False, 12), (True, 5)], ids=["thread", "child"])
def test_killed_at_any_moment(tmp_path, child, rounds):
    """The same installation again and again, each time with more to do; a job hit twice may be given up, and is retried."""
    chance = random.Random(20)
    jobs, kills = [], 0
    for _ in range(rounds):
        jobs += submit(tmp_path, 4)
        victim = start(tmp_path, child=child, seconds=0.002)
        time.sleep(chance.uniform(0.0, 0.25) + 0.5 * child)
        victim.kill()
        kills += end(victim) == -signal.SIGKILL
        if child:
            time.sleep(0.1)  # the orphan notices that its pipe is closed
        check(tmp_path, jobs, complete=False)
    assert kills >= rounds // 2, "the kills came too late to mean anything"
    store = JobStore(tmp_path / "data" / "noisette.sqlite3")
    for job in store.list(states=[JobState.FAILED], limit=1000):
        assert job.attempts == 2
        store.retry(job.id)
    store.close()
    assert end(start(tmp_path)) == 0
    check(tmp_path, jobs, complete=True)
    assert not list(tmp_path.rglob("*.part"))


def test_the_child_does_not_outlive_a_killed_parent(tmp_path):
    psutil = pytest.importorskip("psutil")
    submit(tmp_path, 1)
    victim = start(tmp_path, child=True, seconds=30)
    (child,) = psutil.Process(victim.pid).children()
    time.sleep(0.5)
    victim.kill()
    end(victim)
    child.wait(5)
