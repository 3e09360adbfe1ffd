"""The client of one file, the command line through it, and the examples of the guide: against a server on a port."""

import ast
import http.server
import io
import json
import re
import select
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from modules import cli, client
from modules.client import Client, JobFailed, NoisetteError
from modules.imaging import metadata
from modules.schema import GenerationRequest, JobState
from tests.api.callers import ANNA, BERT
from tests.services.fakes import Held, colour

GUIDES = [
    Path(cli.__file__).resolve().parents[2] / "docs" / name for name in ("api.md", "api.zh-CN.md")
]


@pytest.fixture
def started(here, server):
    here.house.studio.start()
    return server


def pixel(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.getpixel((0, 0))


def test_it_needs_nothing_but_python():
    tree = ast.parse(Path(client.__file__).read_text(encoding="utf-8"))
    names = {
        each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names
    }
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_pictures_by_one_call(started):
    made = Client(started, visitor=ANNA).generate(prompt="a cat", seed=77, batch_size=2)
    assert [pixel(data) for data in made] == [colour(GenerationRequest(seed=77), i) for i in (0, 1)]
    assert metadata.decode(io.BytesIO(made[0])).request.prompt == "a cat"


def test_everything_that_it_offers(here, started):
    mine = Client(started, visitor=ANNA)
    assert mine.health()["status"] == "ok" and "noisette_jobs" in mine.metrics()
    assert [model["name"] for model in mine.models(refresh=True)] == ["tiny"]
    assert mine.names()["samplers"] and mine.extensions() == []
    held = Held(here.engine)
    first = mine.submit(prompt="a cat", steps=30)["id"]
    jobs = [mine.submit(prompt="a dog", seed=9)["id"] for _ in range(3)]
    assert mine.move(jobs[2], 0)["progress"]["position"] == 1
    assert mine.cancel(jobs[0])["state"] == "cancelled"
    assert mine.cancel(first)["state"] in ("running", "cancelled")
    held.go.set()
    assert mine.wait(jobs[2])["state"] == "done"
    assert mine.wait(first)["state"] == "cancelled"
    assert mine.retry(jobs[0])["state"] in ("queued", "running")
    told = [name for name, _ in mine.follow(jobs[0], previews=True)]
    # a preview may be gone before it is looked at, and a last "progress" may stand before the end
    assert told.count("picture") == 1 and told[-1] == "end"
    assert mine.jobs(state="done")["counts"]["done"] >= 2
    assert mine.pictures(text="dog", seed=9)["pictures"]
    assert Client(started, visitor=BERT).pictures(text="dog")["pictures"] == []
    assert mine.cancel_waiting() >= 0


@pytest.fixture
def counting():
    """A server that says in its answer from how many connections it was asked; `/api/v2/health` it refuses."""
    seen: set[tuple[str, int]] = set()

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            seen.add(self.client_address)
            body = json.dumps({"connections": len(seen)}).encode()
            self.send_response(503 if self.path.endswith("/health") else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            # it announces nothing and hangs up, as servers do with connections that were idle
            self.close_connection = self.path.endswith("/names?last=true") or self.close_connection

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_connection_serves_many_requests(counting, monkeypatch):
    monkeypatch.setattr(client, "_KEPT_SECONDS", 600.0)  # however slow the machine
    mine = Client(counting)
    assert [mine.names()["connections"] for _ in range(3)] == [1, 1, 1]
    with pytest.raises(NoisetteError):
        mine.health()
    assert mine.names() == {"connections": 1}
    mine.close()
    mine.close()
    assert mine.names() == {"connections": 2}


def test_a_connection_that_the_server_has_closed_is_made_anew(counting, monkeypatch):
    monkeypatch.setattr(client, "_KEPT_SECONDS", 600.0)
    mine = Client(counting)
    assert mine._json("GET", "/names", query={"last": True}) == {"connections": 1}
    ((kept, _),) = mine._idle
    assert select.select([kept.sock], [], [], 60)[0]
    assert mine.names() == {"connections": 2}


def test_a_connection_that_was_idle_for_long_is_made_anew(counting, monkeypatch):
    mine = Client(counting)
    assert mine.names() == {"connections": 1}
    monkeypatch.setattr(client, "_KEPT_SECONDS", 0.0)  # so it has waited too long
    assert mine.names() == {"connections": 2}


def test_a_program_with_many_files_open_may_ask_as_often_as_it_likes(counting, monkeypatch):
    def select_as_it_is(*_):
        raise ValueError("filedescriptor out of range in select()")

    monkeypatch.setattr(client, "_KEPT_SECONDS", 600.0)
    mine = Client(counting)
    assert mine.names() == {"connections": 1}
    monkeypatch.setattr(client.select, "select", select_as_it_is)
    assert mine.names() == {"connections": 2}


def test_refusals_have_words(started):
    mine = Client(started)
    with pytest.raises(NoisetteError, match="150") as refused:
        mine.submit(prompt="a cat", steps=151)
    assert (refused.value.status, refused.value.field) == (422, "steps")
    assert "步" in refused.value.messages["zh"]
    with pytest.raises(NoisetteError) as refused:
        mine.job(99)
    assert (refused.value.status, refused.value.key) == (404, "error.job.unknown")
    with pytest.raises(ValueError, match="address"):
        Client("ftp://x")


def test_a_job_that_fails_is_said(here, started):
    def before(stage, step):
        raise ValueError("oops")

    here.engine.before = before
    with pytest.raises(JobFailed, match="oops") as failed:
        Client(started).generate(prompt="a cat")
    assert failed.value.job["state"] == "failed"


def test_hanging_up_cancels_nothing(here, started):
    """Fault R5: a client that disconnects."""
    here.engine.seconds = 0.05
    mine = Client(started, visitor=ANNA)
    number = mine.submit(prompt="a cat", steps=10)["id"]
    stream = mine.follow(number)
    assert next(stream)[0] == "progress"
    stream.close()
    assert here.house.finish(number).state is JobState.DONE
    assert len(Client(started, visitor=ANNA).job(number)["pictures"]) == 1


def test_a_stream_does_not_keep_the_server_from_stopping(here, started):
    here.engine.seconds = 1
    mine = Client(started, visitor=ANNA)
    number = mine.submit(prompt="a cat", steps=100)["id"]
    stream = mine.follow(number)
    next(stream)
    began = time.monotonic()
    here.house.studio.close(3.0)
    assert time.monotonic() - began < 60  # the job alone would take 100
    stream.close()


def test_the_command_line_speaks_to_a_server(here, started, tmp_data_dir, capsys, tmp_path):
    def run(*words):
        status = cli.main([*words, "--server", started, "--data-dir", str(tmp_data_dir)])
        return status, *capsys.readouterr()

    target = tmp_path / "猫.png"
    status, out, err = run("txt2img", "a cat", "--seed", "7", "--output", str(target))
    assert (status, out.strip(), err) == (0, str(target), "")
    assert pixel(target.read_bytes()) == colour(GenerationRequest(seed=7), 0)
    status, out, _ = run("img2img", str(target), "a dog", "--seed", "8", "--json",
                         "--output", str(tmp_path / "dog.webp"))  # fmt: skip
    made = json.loads(out)
    assert (status, made["state"], made["request"]["width"]) == (0, "done", 64)
    assert made["request"]["img2img"]["image"] and Path(made["pictures"][0]["file"]).is_file()
    assert run("txt2img", "a cat", "--steps", "151", "--lang", "zh")[0] == 2
    assert "完成" in run("queue", "--lang", "zh")[1] or "done" in run("queue")[1]
    held = Held(here.engine)
    other = Client(started, visitor=ANNA)
    waiting = [other.submit(prompt="a fish", steps=50)["id"] for _ in range(3)]
    status, out, _ = run("queue", "--all")
    assert status == 0 and out.count("a fish") == 3
    assert "a fish" not in run("queue")[1]
    status, _, err = run("queue", "cancel", str(waiting[1]))
    assert status == 2 and str(waiting[1]) in err  # not one's own
    assert run("queue", "move", str(waiting[2]), "--place", "0", "--all")[0] == 0
    assert run("queue", "cancel", str(waiting[0]), "--all")[0] == 0
    assert run("queue", "clear", "--all")[0] == 0
    assert here.house.studio.counts()[JobState.QUEUED] == 0
    held.go.set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense://x"])
def test_a_server_that_is_not_there_is_one_line(tmp_data_dir, capsys, url):
    words = ["txt2img", "a cat", "--server", url, "--data-dir", str(tmp_data_dir)]
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and url in err


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_the_examples_of_the_guide_work(here, started, tmp_path, monkeypatch, guide):
    """Every `python` block runs, every `curl` is answered with a success."""
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((64, 64), 90).save("sketch.png")
    text = guide.read_text(encoding="utf-8").replace("http://127.0.0.1:7860", started)
    known = {}
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    assert sum(kind == "python" for kind, _ in blocks) >= 3
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, guide.name, "exec"), known)
        elif kind == "bash" and "curl" in block:
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("curl"):
                    words = [*shlex.split(line), "--silent", "--fail-with-body", "--max-time", "20"]
                    done = subprocess.run(words, capture_output=True, text=True)
                    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert list(tmp_path.glob("*.png"))
