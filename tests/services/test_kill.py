"""kill -9 loses nothing and doubles nothing, wherever it hits."""

import multiprocessing
import random
import signal
import time

import psutil
import pytest
from PIL import Image

from modules.schema import GenerationRequest, JobState
from modules.services.jobs import JobStore
from tests.services import victim
from tests.services.fakes import colour, house

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


@pytest.fixture(scope="module")
def start():
    """Start a victim; a server that has everything imported forks it, so that many can be killed in little time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.services.victim"])
    signals = []  # they must live until the process has opened its end

    def start(folder, *, wait=True, **plan):
        ready = context.Event()
        process = context.Process(target=victim.main, args=({"folder": str(folder), **plan}, ready))
        process.start()
        signals.append(ready)
        assert not wait or ready.wait(20)
        return process

    return start


def end(process, seconds=20.0):
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


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
def test_killed_at_a_point(tmp_path, start, point):
    jobs = submit(tmp_path, 2)
    assert end(start(tmp_path, wait=False, **point)) == -signal.SIGKILL
    check(tmp_path, jobs, complete=False)
    here = house(tmp_path)  # the next start
    here.studio.start()
    for job in jobs:
        here.finish(job.id)
    here.studio.close()
    check(tmp_path, jobs, complete=True)
    assert not list(tmp_path.rglob("*.part"))


def test_killed_with_fifty_waiting(tmp_path, start):
    """All are done after the next start, in their order, each once."""
    store = JobStore(tmp_path / "data" / "noisette.sqlite3")
    jobs = [store.submit(ASKED.replace(batch_size=1, batch_count=1)) for _ in range(50)]
    store.close()
    killed = start(tmp_path, wait=False, store=["finish", "after"])
    assert end(killed) == -signal.SIGKILL
    here = house(tmp_path)
    counts = here.studio.counts()
    assert (counts[JobState.DONE], counts[JobState.QUEUED]) == (1, 49)
    here.studio.start()
    here.finish(jobs[-1].id, 30)
    done = [here.studio.job(job.id) for job in jobs]
    here.studio.close()
    assert {job.state for job in done} == {JobState.DONE}
    assert [job.started for job in done] == sorted(job.started for job in done)
    assert len(list((tmp_path / "outputs").rglob("*.png"))) == 50


@pytest.mark.parametrize(("child", "rounds"), [(False, 15), (True, 4)], ids=["thread", "child"])
def test_killed_at_any_moment(tmp_path, start, child, rounds):
    """The same installation again and again, each time with more to do; a job hit twice may be given up, and is retried."""
    chance = random.Random(20)
    jobs, kills = [], 0
    for _ in range(rounds):
        jobs += submit(tmp_path, 2)
        process = start(tmp_path, child=child, seconds=0.03 if child else 0.002)
        time.sleep(chance.uniform(0.0, 0.15) + 0.5 * child)
        process.kill()
        kills += end(process) == -signal.SIGKILL
        if child:
            time.sleep(0.1)  # the orphan notices that its pipe is closed
        check(tmp_path, jobs, complete=False)
    assert kills >= rounds // 2, "the kills came too late to mean anything"
    here = house(tmp_path)
    here.studio.start()
    for job in jobs:
        if here.finish(job.id).state is JobState.FAILED:
            assert here.studio.job(job.id).attempts == 2
            here.studio.retry(job.id)
            here.finish(job.id)
    here.studio.close()
    check(tmp_path, jobs, complete=True)
    assert not list(tmp_path.rglob("*.part"))


def test_the_child_does_not_outlive_a_killed_parent(tmp_path, start):
    submit(tmp_path, 1)
    process = start(tmp_path, child=True, seconds=30)
    (child,) = psutil.Process(process.pid).children()
    time.sleep(0.5)
    process.kill()
    end(process)
    child.wait(5)
