"""Faults of machine, disk, clock and neighbours, each with what is then expected; the table is in docs/reliability.md."""

import errno
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from modules.errors import StorageError, UserError
from modules.imaging import metadata
from modules.schema import GenerationRequest, JobState
from modules.services import database
from modules.services.jobs import JobStore
from modules.services.worker import ChildWorker
from modules.settings import PROJECT, Settings
from tests.services.fakes import FakeGenerate, FaultyDisk, colour, house

ASKED = GenerationRequest(prompt="a cat", seed=3, steps=2)
CHILD = (sys.executable, str(Path(__file__).with_name("fake_child.py")))


@pytest.fixture
def make_house(tmp_path):
    houses = []

    def make(*args, folder=tmp_path, **kwargs):
        houses.append(house(folder, *args, **kwargs))
        return houses[-1]

    yield make
    for each in houses:
        each.studio.close(2.0)


@pytest.fixture
def make_child(tmp_path):
    def make(**plan):
        environ = {**os.environ, "FAKE_CHILD": json.dumps(plan)}
        return ChildWorker(Settings(data_dir=tmp_path), command=CHILD, environ=environ)

    return make


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def words(job):
    return str(UserError.from_dict(job.error))


# ------------------------------------------------------------------------------------------- the worker's process


def test_a_process_that_ends_costs_one_attempt_and_the_page_stays(make_house, make_child):
    here = make_house(worker=make_child(die="denoising1", how="exit"))
    here.studio.start()
    job = here.studio.submit(ASKED.replace(batch_count=2))
    wait_for(
        lambda: here.studio.job(job.id).attempts == 1
    )  # the page tells, and the process is new
    done = here.finish(job.id, 20)
    assert (done.state, len(done.pictures)) == (JobState.DONE, 2)


def test_a_job_that_crashes_twice_is_given_up_with_the_signals_name(make_house, make_child):
    here = make_house(worker=make_child(die="denoising2", how="segfault", always=True))
    here.studio.start()
    poison = here.finish(here.studio.submit(ASKED).id, 20)
    assert poison.state is JobState.FAILED and "SIGSEGV" in words(poison)
    assert here.finish(here.studio.submit(ASKED.replace(steps=1)).id, 20).state is JobState.DONE


def test_a_lost_device_fails_the_job_and_the_next_gets_a_new_process(make_house, make_child):
    """CUDA's context is of no use after such an error; everything later in that process would fail, too."""
    worker = make_child(die="denoising1", how="cuda")
    here = make_house(worker=worker)
    here.studio.start()
    wait_for(lambda: worker.pid)
    first = worker.pid
    lost = here.finish(here.studio.submit(ASKED).id, 20)
    assert lost.state is JobState.FAILED and "CUDA error" in words(lost)
    assert here.finish(here.studio.submit(ASKED).id, 20).state is JobState.DONE
    assert worker.pid != first


# ------------------------------------------------------------------------------------------- many at once


def test_two_at_once_get_their_own_in_turns(make_house):
    here = make_house()
    made = {}

    def ask(client, seed):
        made[client] = [
            here.studio.submit(
                ASKED.replace(
                    prompt=f"{client} {number}",
                    seed=seed + number,
                    steps=1 + number % 3,
                    width=64 * (1 + number % 4),
                ),
                client,
            )
            for number in range(10)
        ]

    threads = [threading.Thread(target=ask, args=pair) for pair in (("anna", 70_000), ("bert", 9))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    here.studio.start()
    begun = {}
    for client, jobs in made.items():
        for job in jobs:
            done = here.finish(job.id)
            begun[done.started] = client
            assert (done.state, done.client) == (JobState.DONE, client)
            (picture,) = done.pictures
            with Image.open(here.studio.picture_file(picture.id)) as image:
                assert image.getpixel((0, 0)) == colour(job.request, 0)
                told = metadata.decode(image)
            assert told.request == job.request and f"Seed: {job.request.seed}" in told.infotext
        assert {each.job_id for each in here.studio.pictures(client)} == {job.id for job in jobs}
    order = [begun[moment] for moment in sorted(begun)]
    assert all(one != other for one, other in itertools.pairwise(order)), order


@pytest.mark.parametrize("when", ["waiting", "running", "over", "never"])
def test_stop_pressed_twice_at_the_wrong_moment_hits_no_other_job(make_house, when):
    at_work, go_on = threading.Event(), threading.Event()

    def before(stage, step):
        if step == 1 and not at_work.is_set():
            at_work.set()
            go_on.wait(10)

    here = make_house(FakeGenerate(before=before))
    first, second = (here.studio.submit(ASKED) for _ in range(2))

    def stop_twice(number):
        here.studio.cancel(number)
        here.studio.cancel(number)

    if when == "waiting":
        stop_twice(first.id)
    here.studio.start()
    assert at_work.wait(10)
    if when == "running":
        stop_twice(first.id)
    if when == "never":
        with pytest.raises(UserError):
            here.studio.cancel(99)
    go_on.set()
    ended = here.finish(first.id)
    if when == "over":
        stop_twice(first.id)
    stopped = when in ("waiting", "running")
    assert ended.state is (JobState.CANCELLED if stopped else JobState.DONE)
    assert here.finish(second.id).state is JobState.DONE
    assert here.studio.job(first.id).state is ended.state


# ------------------------------------------------------------------------------------------- disk and clock


def test_an_outputs_folder_that_refuses_is_said_before_during_and_no_longer(make_house, tmp_path):
    refuses = FaultyDisk("write", 0, errno.EROFS, only="/outputs/")
    here = make_house(disk=refuses)
    here.outputs._disk = refuses
    here.studio.start()
    assert "cannot be written" in str(here.studio.problem)  # nobody has asked for a picture yet
    job = here.finish(here.studio.submit(ASKED).id)
    assert job.state is JobState.FAILED and "cannot be written" in words(job)
    kept = next((tmp_path / "data" / "unsaved").rglob("*.png"))
    assert str(kept) in words(job)  # it is not lost, and the message says where it is
    wait_for(lambda: here.studio.problem is not None)
    refuses.method = "never"
    assert here.finish(here.studio.submit(ASKED).id).state is JobState.DONE
    wait_for(lambda: here.studio.problem is None and here.studio.job(job.id).pictures)
    assert here.studio.picture_file(here.studio.job(job.id).pictures[0].id).is_file()


def test_a_clock_that_goes_back_a_day_changes_no_order_and_no_name(tmp_path, make_house):
    here = make_house()
    now = [time.time()]
    here.store._clock = lambda: now[0]
    jobs = []
    for _ in range(4):
        jobs.append(here.studio.submit(ASKED))
        now[0] -= 86_400
    begun = []
    here.studio.start()
    for job in jobs:
        done = here.finish(job.id)
        begun.append(done.id)
        assert done.state is JobState.DONE and done.finished <= done.created
        name = done.pictures[0].path
        assert (tmp_path / "outputs" / name).is_file()
        assert here.outputs.find(done, 0).path == name.as_posix()  # what a second attempt looks for
    turns = here.store._connection.execute("SELECT id FROM jobs ORDER BY turn").fetchall()
    assert [row["id"] for row in turns] == begun == sorted(begun)
    assert [job.id for job in here.studio.jobs()] == begun[::-1]
    assert {job.id for job in here.store.recover()} == set()


def test_a_database_that_another_holds_is_waited_for_and_then_named(tmp_path, monkeypatch):
    path = tmp_path / "queue.sqlite3"
    store = JobStore(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    letting_go = threading.Timer(0.1, lambda: other.execute("COMMIT"))
    letting_go.start()
    assert store.submit(ASKED).id == 1
    letting_go.join()
    store.close()
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.02)
    store = JobStore(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="held by another program"):
        store.submit(ASKED)
    other.execute("COMMIT")
    assert store.submit(ASKED).id == 2  # and nothing of the refused one is left
    store.close()
    other.close()


# ------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["测试 目录", "Ünïcode 🌰", unicodedata.normalize("NFD", "é à")])
def test_any_name_and_any_words(make_house, tmp_path, name):
    folder = tmp_path / name
    here = make_house(folder=folder)
    here.studio.start()
    asked = ASKED.replace(prompt=f"{name} (一只猫:1.2), 🐈\u200d⬛", negative_prompt="模糊")
    job = here.finish(here.studio.submit(asked, name).id)
    file = here.studio.picture_file(job.pictures[0].id)
    told = metadata.decode(file)
    assert told.request == job.request and told.infotext.startswith(asked.prompt)
    assert here.studio.pictures(name)


def test_a_console_of_another_encoding_is_no_reason_to_fail(tmp_path, make_house):
    folder = tmp_path / "测试 目录"
    here = make_house(folder=folder)
    here.studio.submit(ASKED.replace(prompt="猫 🐈 \u0e41\u0e21\u0e27"))
    environ = {
        **os.environ,
        "PYTHONIOENCODING": "gbk",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "NOISETTE_LANGUAGE": "zh",
    }
    command = [sys.executable, "webui.py", "queue", "--data-dir", str(folder)]
    answer = subprocess.run(command, capture_output=True, env=environ, cwd=PROJECT)
    assert answer.returncode == 0, answer.stderr
    assert b"Traceback" not in answer.stderr and answer.stdout.strip()
