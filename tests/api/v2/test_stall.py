"""A request that takes long holds up no other: everything that waits for disk or rows is off the event loop."""

import io
import threading
import time
import urllib.request

import pytest
from fastapi import FastAPI, Request
from PIL import Image

from modules.api.threads import DECODING
from modules.api.v2.app import PREFIX
from modules.api.waiting import WaitingQueue
from modules.client import Client
from modules.schema import GenerationRequest
from modules.services.inputs import InputPictures
from modules.services.quotas import QuotaError
from tests.api.callers import Face, serving
from tests.services.fakes import Held


@pytest.mark.parametrize("method", ["pictures", "jobs", "models", "counts"])
def test_a_slow_look_stops_nobody(here, server, monkeypatch, method):
    held, go_on = threading.Event(), threading.Event()
    real = getattr(here.house.studio, method)

    def slow(*args, **kwargs):
        held.set()
        assert go_on.wait(20)
        return real(*args, **kwargs)

    monkeypatch.setattr(here.house.studio, method, slow)
    client = Client(server)
    ask = {
        "pictures": client.pictures,
        "jobs": client.jobs,
        "models": client.models,
        "counts": client.health,
    }[method]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    assert held.wait(10)
    assert client.names()["samplers"]  # answered while the other one still waits
    number = client.submit(prompt="a cat")["id"]
    assert client.job(number)["id"] == number
    assert answers == []
    go_on.set()
    thread.join(10)
    assert len(answers) == 1


def test_sixty_that_wait_for_their_jobs_leave_the_page_its_threads(here):
    """Routes of extensions wait in threads, of which the server has forty."""
    app = FastAPI(openapi_url=None)
    queue = WaitingQueue(here.house.studio, Face.visitors)

    @app.post("/make")
    def make(request: Request) -> int:
        return len(queue.run(GenerationRequest(prompt="a cat", steps=1), request))

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    app.mount(PREFIX, here.app)
    here.house.studio.start()
    answers: list[str] = []
    with serving(app) as port, Held(here.engine, 1) as held:

        def ask() -> None:
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/make", method="POST")
            with urllib.request.urlopen(asked, timeout=200) as answer:
                answers.append(answer.read().decode())

        waiting = [threading.Thread(target=ask) for _ in range(60)]
        for each in waiting:
            each.start()
        assert held.reached.wait(60)  # the first of them; the others wait behind it
        end = time.monotonic() + 60
        while sum(here.house.studio.counts().values()) < 60 and time.monotonic() < end:
            time.sleep(0.02)
        for path in ("/healthz", f"{PREFIX}/jobs?limit=5", f"{PREFIX}/health"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                assert answer.status == 200
        assert answers == []
        held.go.set()
        for each in waiting:
            each.join(200)
    assert answers == ["1"] * 60


def test_only_so_many_wait(here, monkeypatch):
    monkeypatch.setattr("modules.api.waiting.MOST_WAITING", 0)
    queue = WaitingQueue(here.house.studio, Face.visitors)
    request = Request({"type": "http", "headers": []})
    with pytest.raises(QuotaError, match="0 requests are being answered"):
        queue.run(GenerationRequest(prompt="a cat", steps=1), request)
    assert here.house.studio.jobs() == []


def test_uploads_that_wait_to_be_read_leave_the_page_its_threads(here, server, monkeypatch):
    started, go_on = threading.Semaphore(0), threading.Event()
    real = InputPictures.add

    def slow(self, data, name="upload"):
        started.release()
        assert go_on.wait(200)
        return real(self, data, name)

    monkeypatch.setattr(InputPictures, "add", slow)
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "PNG")
    client = Client(server)
    handed: list[str] = []

    def hand_in() -> None:
        handed.append(client.hand_in(data.getvalue())["id"])

    waiting = [threading.Thread(target=hand_in) for _ in range(60)]
    for each in waiting:
        each.start()
    for _ in range(DECODING):
        assert started.acquire(timeout=60)
    assert client.jobs() is not None and client.names()["samplers"]
    assert handed == [] and not started.acquire(blocking=False), "more are read than may be"
    go_on.set()
    for each in waiting:
        each.join(200)
    assert len(handed) == 60
