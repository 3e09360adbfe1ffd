"""When the program is told to end nobody goes on waiting for a job; the jobs stay in the queue."""

import json
import threading
import time
import urllib.error
import urllib.request

import pytest
import uvicorn
from fastapi import FastAPI

from modules.api.connections import Server
from modules.api.foreign import mount_foreign_routes
from modules.api.server import listen
from modules.api.v1.answers import add_handlers
from modules.api.v2.app import PREFIX
from modules.api.waiting import WaitingQueue, over
from modules.plugins.manager import Plugins
from modules.schema import GenerationRequest, JobState
from tests.api.callers import ANNA, Face
from tests.plugins.write import write
from tests.services.fakes import Held

SECONDS = 60.0
EACH = 20

PLUGIN = """
from modules.plugins import ForeignRoutes, hookimpl


class Extension:
    @hookimpl
    def register_foreign_api(self):
        return ForeignRoutes(("/maker/make",), build="making:router", seconds=600.0)
"""
MAKING = """
from fastapi import APIRouter, Request
from modules.plugins import GenerationRequest


def router(queue):
    made = APIRouter()

    @made.post("/maker/make")
    def make(request: Request) -> int:
        return len(queue.run(GenerationRequest(prompt="a cat", steps=2), request))

    return made
"""


def until(condition) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)


@pytest.fixture
def app(here, tmp_path):
    """An extension's route that waits, one that waits as those of `/sdapi/v1` do, and `/api/v2`."""
    write(tmp_path / "extensions", "maker", PLUGIN, making=MAKING)
    plugins = Plugins.load(tmp_path / "extensions")
    studio = here.house.studio
    app = FastAPI(openapi_url=None)
    add_handlers(app)
    mount_foreign_routes(app, plugins, WaitingQueue(studio, Face.visitors))

    @app.post("/wait")
    async def wait() -> int:
        job = studio.submit(GenerationRequest(prompt="a cat", steps=2))
        return len(await over(studio, [job.id]))

    app.mount(PREFIX, here.app)
    yield app
    plugins.close()


def test_who_waits_when_the_program_ends_is_told_so_and_the_jobs_stay(app, here, caplog):
    studio = here.house.studio
    studio.start()
    answers: list[tuple[int, str]] = []
    cookie = {"Cookie": f"noisette_visitor={ANNA}"}

    def ask(method: str, url: str) -> None:
        try:
            asked = urllib.request.Request(url, headers=cookie, method=method)
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                following.release()
                answers.append((answer.status, answer.read().decode()))
        except urllib.error.HTTPError as error:
            answers.append((error.code, error.read().decode()))

    following = threading.Semaphore(0)
    with listen("127.0.0.1", 0) as sock, Held(here.engine, 1) as held:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        # Without an end to its patience: it ends only if all are answered.
        config = uvicorn.Config(app, log_config=None, access_log=False)
        running = Server(config, studio.end_waiting)
        serving = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
        serving.start()
        sent = here.client(ANNA).post("/jobs", json={"prompt": "a cat", "steps": 2})
        first = sent.json()["id"]
        assert held.reached.wait(SECONDS)
        asked = [("POST", f"{url}/maker/make"), ("POST", f"{url}/wait")]
        asked.append(("GET", f"{url}{PREFIX}/jobs/{first}/events"))
        waiting = [threading.Thread(target=ask, args=each) for each in asked for _ in range(EACH)]
        for each in waiting:
            each.start()
        until(lambda: sum(studio.counts().values()) == 1 + 2 * EACH)
        for _ in range(EACH):
            assert following.acquire(timeout=SECONDS), answers
        assert answers == []
        running.should_exit = True
        for each in (*waiting, serving):
            each.join(SECONDS)
            assert not each.is_alive()
        assert studio.job(first).state is JobState.RUNNING, "a job was waited for"
        assert studio.counts()[JobState.QUEUED] == 2 * EACH
    assert sorted(status for status, _ in answers) == [200] * EACH + [503] * 2 * EACH
    for status, text in answers:
        if status == 200:
            assert "event: end" not in text
        else:
            said = json.loads(text)["messages"]
            assert "being ended" in said["en"] and "正在退出" in said["zh"]
    assert not [each for each in caplog.records if each.levelname in ("ERROR", "WARNING")]
