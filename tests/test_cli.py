"""The command line, with an engine that paints."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from modules import cli
from modules.errors import UserError
from modules.imaging import metadata
from modules.schema import JobState
from modules.services.instance import InstanceLock
from modules.services.jobs import JobStore
from tests.services.fakes import FakeGenerate, house

PROJECT = Path(cli.__file__).resolve().parent.parent


@pytest.fixture
def engine():
    return FakeGenerate()


@pytest.fixture
def run(tmp_data_dir, monkeypatch, capsys, engine):
    """Run a command on an installation with the fake engine; status, stdout, stderr."""

    def build_studio(settings, *, in_process=False):
        return house(settings.data_dir, engine).studio

    monkeypatch.setattr("modules.app.build_studio", build_studio)

    def run(*words):
        status = cli.main([*words, "--data-dir", str(tmp_data_dir)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def pictures(folder):
    return sorted(path.name for path in folder.rglob("*.png"))


def test_a_picture(run, tmp_data_dir):
    status, out, err = run("txt2img", "a cat", "--seed", "5")
    assert (status, err) == (0, "")
    (path,) = map(Path, out.splitlines())
    assert path.is_relative_to(tmp_data_dir / "outputs")
    assert metadata.decode(path).request.seed == 5


def test_all_options_reach_the_request(run):
    status, out, _ = run(
        "txt2img", "a cat", "--negative", "dog", "--steps", "2", "--cfg", "3.5", "--sampler",
        "Euler a", "--schedule", "default", "--seed", "9", "--width", "72", "--height", "80",
        "--batch", "2", "--model", "tiny", "--json",
    )  # fmt: skip
    assert status == 0
    data = json.loads(out)
    assert data["request"] == {
        "prompt": "a cat", "negative_prompt": "dog", "model": "tiny", "width": 72, "height": 80,
        "steps": 2, "cfg_scale": 3.5, "sampler": "euler_a", "schedule": "default", "seed": 9,
        "batch_size": 1, "batch_count": 2, "clip_skip": 1, "extras": {},
    }  # fmt: skip
    assert [each["seed"] for each in data["pictures"]] == [9, 10]
    assert data["state"] == "done"


def test_output_to_a_file(run, tmp_path):
    target = tmp_path / "new folder" / "猫.png"
    status, out, _ = run("txt2img", "a cat", "--batch", "3", "--output", str(target))
    assert status == 0
    assert pictures(target.parent) == ["猫-2.png", "猫-3.png", "猫.png"]
    assert out.splitlines()[0] == str(target)


def test_output_to_a_folder(run, tmp_path):
    target = tmp_path / "new"
    run("txt2img", "a cat", "--batch", "2", "--output", str(target))
    assert len(pictures(target)) == 2


def test_output_that_cannot_be_written_says_where_the_pictures_are(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, out, err = run("txt2img", "a cat", "--output", str(tmp_path / "file" / "x.png"))
    assert status == 2
    assert "They are in" in err
    assert out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sampler", "Eulre"], "No sampler of that name"),
        (["--model", "nothing"], "No model nothing"),
        (["--steps", "0"], "steps is 0"),
        (["--steps", "100000"], "allows 1 to 150"),
        (["--width", "68"], "not a multiple of 8. Use 64"),
        (["--seed", "-2"], "seed is -2"),
        (["--cfg", "nan"], "cfg_scale is nan"),
        (["--batch", "0"], "batch_count is 0"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(run, words, said):
    status, out, err = run("txt2img", "a cat", *words)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert err.startswith("noisette: ")


def test_messages_in_chinese(run):
    _, _, err = run("txt2img", "猫", "--width", "68", "--lang", "zh")
    assert "不是 8 的倍数" in err


def test_a_job_that_fails_is_status_1(run, engine):
    def before(stage, step):
        raise UserError("The disk is full.")

    engine.before = before
    status, out, err = run("txt2img", "a cat")
    assert (status, out, err) == (1, "", "noisette: The disk is full.\n")
    status, out, err = run("txt2img", "a cat", "--json")
    assert status == 1
    assert json.loads(out)["error"] == "The disk is full."


def test_an_empty_prompt(run):
    assert run("txt2img", "")[0] == 0


def test_it_does_its_own_job_and_leaves_the_others(run, tmp_data_dir):
    store = JobStore(tmp_data_dir / "data" / "noisette.sqlite3")
    from modules.schema import GenerationRequest

    waiting = store.submit(GenerationRequest(prompt="another"))
    assert run("txt2img", "a cat")[0] == 0
    assert store.get(waiting.id).state is JobState.QUEUED
    store.close()


def test_where_another_instance_runs_it_waits_for_it(run, tmp_data_dir):
    lock = InstanceLock(tmp_data_dir).acquire()
    other = house(tmp_data_dir)
    other.studio.start()
    try:
        status, out, err = run("txt2img", "a cat")
    finally:
        other.studio.close()
        lock.release()
    assert status == 0
    assert f"Process {os.getpid()} works on this data folder; job 1" in err
    assert Path(out.strip()).is_file()


def test_when_that_instance_ends_it_does_the_job_itself(run, tmp_data_dir):
    lock = InstanceLock(tmp_data_dir).acquire()
    threading.Timer(0.5, lock.release).start()
    assert run("txt2img", "a cat")[0] == 0


def test_ctrl_c_cancels_the_job(run, engine, tmp_data_dir):
    def before(stage, step):
        if step == 2:
            raise KeyboardInterrupt

    engine.before = before
    status, out, _ = run("txt2img", "a cat")
    assert (status, out) == (130, "")
    store = JobStore(tmp_data_dir / "data" / "noisette.sqlite3")
    assert store.get(1).state is JobState.CANCELLED
    store.close()
    InstanceLock(tmp_data_dir).acquire().release()


def test_queue(run, tmp_data_dir):
    from modules.schema import GenerationRequest

    store = JobStore(tmp_data_dir / "data" / "noisette.sqlite3")
    for number in range(3):
        store.submit(GenerationRequest(prompt=f"prompt\nnumber {number}"))
    status, out, _ = run("queue")
    assert status == 0
    assert "queued 3" in out
    assert "2\tqueued\t1\tprompt number 1" in out
    assert "cancelled" in run("queue", "cancel", "2")[1]
    assert len(json.loads(run("queue", "list", "--json")[1])["jobs"]) == 2
    assert run("queue", "clear")[1].startswith("2 waiting")
    assert run("queue", "cancel", "99")[0] == 2
    assert "Say which job" in run("queue", "cancel")[2]
    store.close()


def test_models(run):
    assert run("models")[1].startswith("tiny\tsd1")
    assert json.loads(run("models", "--json")[1])["models"][0]["name"] == "tiny"


def test_a_bad_settings_file_is_named(run, tmp_data_dir):
    (tmp_data_dir / "settings.json").write_text('{"port": "many"}')
    status, _, err = run("models")
    assert status == 2
    assert "port is 'many'" in err


@pytest.mark.parametrize(
    "words", [["--help"], ["txt2img", "--help"], ["serve", "--help"], ["--lang", "zh", "--help"]]
)
def test_help(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "cli.help" not in out
    assert len(out) > 300


@pytest.mark.parametrize("words", [["nonsense"], ["txt2img"], ["serve", "--port", "many"]])
def test_wrong_words_are_status_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], ["serve"]),
        (["--port", "1"], ["serve", "--port", "1"]),
        (["models"], ["models"]),
        (["--help"], ["--help"]),
    ],
)
def test_serve_is_the_default(words, meant):
    assert cli._with_command(words) == meant


def test_importing_it_is_quick_and_light():
    code = (
        "import sys, modules.cli; "
        "heavy = {'torch', 'gradio', 'fastapi', 'numpy', 'diffusers', 'PIL'} & set(sys.modules); "
        "print(sorted(heavy))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_pipe_that_closes_early_is_no_error():
    answer = subprocess.run(
        f"{sys.executable} webui.py version | true",
        shell=True,
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    assert answer.stderr == ""


# ------------------------------------------------------------------------------------------- serve

SERVE = """
import sys
from pathlib import Path
from modules import app, cli
from modules.api import server
from tests.services.fakes import FakeGenerate, house

def build_app(settings):
    here = house(settings.data_dir, FakeGenerate(0.05))
    here.studio.start()

    async def asgi(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive(); await send({"type": "lifespan.startup.complete"})
            await receive(); await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return app.App(asgi, here.studio, here.studio.close)

app.build_app = build_app
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the tests below: starting it imports gradio."""
    folder = tmp_path_factory.mktemp("serve")
    words = ["serve", "--no-open", "--port", "0", "--data-dir", str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    yield process, folder
    process.kill()
    process.communicate()


def test_serve_says_where_and_how_to_stop_and_stops(server, monkeypatch, capsys):
    process, folder = server
    first = process.stdout.readline()
    assert first.startswith("Noisette is ready: http://127.0.0.1:"), process.stderr.read()
    assert "Ctrl-C" in process.stdout.readline()
    port = int(first.rsplit(":", 1)[1].strip(" /\n"))

    status = cli.main(["serve", "--data-dir", str(folder), "--no-open"])
    err = capsys.readouterr().err
    assert status == 2
    assert f"process {process.pid}, http://127.0.0.1:{port}/" in err

    monkeypatch.setattr("modules.app.build_app", None)
    other = ["serve", "--data-dir", str(folder / "other"), "--no-open", "--port", str(port)]
    assert cli.main(other) == 2
    err = capsys.readouterr().err
    assert str(port) in err
    assert "--port" in err

    store = JobStore(folder / "data" / "noisette.sqlite3")
    from modules.schema import GenerationRequest

    job = store.submit(GenerationRequest(steps=150, width=64, height=64, model="tiny"))
    until = time.monotonic() + 10
    while store.get(job.id).state is not JobState.RUNNING and time.monotonic() < until:
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - began < 10
    assert process.stderr.read() == ""
    assert store.get(job.id).state is JobState.QUEUED  # it goes on after the next start
    store.close()


def test_the_bar_fills(tmp_path):
    """What a terminal shows while a picture is made."""

    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    from modules.schema import GenerationRequest

    here = house(tmp_path, FakeGenerate(0.02))
    job = here.studio.submit(GenerationRequest(steps=10))
    terminal = Terminal()
    with cli._Bar(terminal, quiet=False) as bar, bar.following(here.studio, job.id):
        here.studio.run(job.id)
    here.studio.close()
    assert "denoising 5/10" in terminal.text
    assert terminal.text.endswith("\r\x1b[K")
    with Image.open(next((tmp_path / "outputs").rglob("*.png"))) as image:
        assert image.size == (64, 64)
