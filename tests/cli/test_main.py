"""The command line, with an engine that paints."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from modules import cli
from modules.api.server import listen
from modules.cli.bar import Bar
from modules.cli.main import COMMANDS
from modules.cli.parser import parser, with_command
from modules.cli.run import Run
from modules.cli.serve import turn
from modules.errors import UserError
from modules.imaging import metadata
from modules.schema import JobState
from modules.services.instance import InstanceLock
from modules.services.jobs import JobStore
from modules.settings import Settings
from tests.services.fakes import FakeGenerate, house

PROJECT = Path(cli.__file__).resolve().parents[2]


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
        "--batch-count", "2", "--batch-size", "2", "--clip-skip", "2", "--model", "tiny",
        "--set", "freeu.b1=1.3", "--set", "freeu.word=loud", "--set", "tiling=both", "--json",
    )  # fmt: skip
    assert status == 0
    data = json.loads(out)
    asked = {
        "prompt": "a cat", "negative_prompt": "dog", "model": "tiny", "width": 72, "height": 80,
        "steps": 2, "cfg_scale": 3.5, "sampler": "euler_a", "schedule": "default", "seed": 9,
        "batch_size": 2, "batch_count": 2, "clip_skip": 2, "tiling": "both",
        "extras": {"freeu": {"enabled": True, "b1": 1.3, "word": "loud"}},
    }  # fmt: skip
    assert {name: data["request"][name] for name in asked} == asked
    assert [each["seed"] for each in data["pictures"]] == [9, 10, 11, 12]
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


@pytest.mark.parametrize(
    ("name", "kind"), [("x.jpg", "JPEG"), ("x.webp", "WEBP"), ("x.PNG", "PNG")]
)
def test_the_suffix_chooses_the_format(run, tmp_path, name, kind):
    assert run("txt2img", "a cat", "--seed", "5", "--output", str(tmp_path / name))[0] == 0
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
    assert "Seed: 5" in metadata.decode(tmp_path / name).infotext


def test_an_unknown_suffix_is_refused_before_the_work(run, tmp_path, tmp_data_dir):
    status, out, err = run("txt2img", "a cat", "--output", str(tmp_path / "x.gif"))
    assert (status, out) == (2, "")
    assert ".gif" in err
    assert ".webp" in err
    assert pictures(tmp_data_dir) == []
    assert run("txt2img", "a cat", "--output", str(tmp_path / "v1.5") + "/")[0] == 0
    assert len(pictures(tmp_path / "v1.5")) == 1


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no /proc")
def test_a_folder_that_takes_no_files_is_said_so(run):
    status, _, err = run("txt2img", "a cat", "--output", "/proc/x.png")
    assert status == 1
    assert "/proc/x.png cannot be written: no file can be made in /proc." in err


@pytest.mark.parametrize("name", ["file/x.png", "file/", "folder.png"])
def test_output_that_cannot_be_written_is_noticed_before_the_work(
    run, tmp_path, tmp_data_dir, name
):
    (tmp_path / "file").write_text("in the way")
    if name == "folder.png":
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o400)
        if os.access(tmp_path / name, os.W_OK):
            pytest.skip("this user may write everything")
    status, out, err = run("txt2img", "a cat", "--output", str(tmp_path) + "/" + name)
    assert status == 1
    assert "cannot be written" in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert pictures(tmp_data_dir) == []


def test_output_that_breaks_off_says_where_the_pictures_are(
    run, tmp_path, tmp_data_dir, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    status, _, err = run("txt2img", "a cat", "--output", str(tmp_path / "x.png"))
    assert status == 1
    assert "the disk is full" in err
    assert f"It is in {tmp_data_dir}" in err
    assert len(pictures(tmp_data_dir)) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sampler", "Eulre"], "No sampler of that name"),
        (["--model", "nothing"], "No model nothing"),
        (["--steps", "0"], "Steps is 0"),
        (["--width", "100000"], "Width is 100000; this installation allows 64 to 2048"),
        (["--width", "4"], "Width is 4; this installation allows 64 to 2048"),
        (["--clip-skip", "99"], "Clip skip is 99, which cannot be used: it has to be 12 or less"),
        (["--batch-size", "0"], "Batch size is 0"),
        (["--set", "freeu"], "NAME.OPTION=VALUE"),
        (["--set", "freeu=1"], "NAME.OPTION=VALUE"),
        (["--set", "a.b.c=1"], "NAME.OPTION=VALUE"),
        (["--set", "hires.scale=99"], "Hires scale is 99"),
        (["--set", "tiling=z"], "Tiling is 'z', which cannot be used: it has to be one of"),
        (["--steps", "100000"], "allows 1 to 150"),
        (["--seed", "-2"], "Seed is -2"),
        (["--cfg", "nan"], "CFG scale is nan"),
        (["--batch", "0"], "Batch count is 0"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(run, words, said):
    status, out, err = run("txt2img", "a cat", *words)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert err.startswith("noisette: ")


def test_messages_in_chinese(run):
    _, _, err = run("txt2img", "猫", "--width", "4", "--lang", "zh")
    assert "“宽度”为 4" in err and "64" in err
    _, _, err = run("txt2img", "猫", "--cfg", "nan", "--lang", "zh")
    assert err == "noisette: “CFG 强度”的值 nan 无法使用：需要有限的数字。\n"


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
    assert "Job 1 is in the queue again" in run("queue", "retry", "1")[1]
    assert "neither failed" in run("queue", "retry", "1")[2]
    for limit in ("0", "-1"):
        status, out, err = run("queue", "--limit", limit)
        assert (status, out) == (2, "")
        assert f"--limit is {limit}" in err
    store.close()


def test_models_of_every_kind(run, tmp_data_dir):
    folder = tmp_data_dir / "models" / "vae"
    folder.mkdir()
    weights = {"decoder.conv_in.weight": np.zeros((8, 4, 3, 3), np.float32)}
    weights["decoder.mid.block_1.conv1.weight"] = np.zeros((8, 8, 3, 3), np.float32)
    save_file(weights, folder / "soft.safetensors")
    (folder / "old.pt").write_bytes(b"\x80\x04cos\nsystem\n")
    _, out, err = run("models", "--models-dir", str(folder.parent))
    rows = [line.split(maxsplit=6) for line in out.splitlines()]
    assert rows[0] == ["Name", "Kind", "Family", "Variant", "Size", "File"]
    assert rows[1][:4] == ["tiny", "checkpoint", "sd1", "base"]
    assert rows[2][:4] == ["vae/soft", "vae", "-", "4"]
    assert "noisette convert" in err and "old.pt" in err
    words = ("models", "--json", "--models-dir", str(folder.parent))
    found = json.loads(run(*words)[1])
    assert found["models"][0]["name"] == "tiny"
    assert [(each["name"], each["kind"]) for each in found["files"]] == [("vae/soft", "vae")]
    assert len(found["problems"]) == 1


def test_what_is_no_vae_is_not_offered_as_one(run, tmp_data_dir):
    folder = tmp_data_dir / "models" / "vae"
    folder.mkdir()
    save_file({"clip_l": np.zeros((2, 768), np.float32)}, folder / "other.safetensors")
    _, out, err = run("models", "--models-dir", str(folder.parent))
    assert "vae/other" not in out
    assert "other.safetensors" in err and "embedding" in err


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
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("noisette: ") and "Traceback" not in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "1.5"], "--seed: 1.5 is not a whole number. “noisette txt2img --help”"),
        (["--cfg", "much", "--lang", "zh"], "--cfg: much 不是数字。"),
    ],
)
def test_a_word_that_is_no_number_is_said(words, said, capsys):
    assert cli.main(["txt2img", "a cat", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], ["serve"]),
        (["--port", "1"], ["serve", "--port", "1"]),
        (["models"], ["models"]),
        (["--help"], ["--help"]),
        (["--lang", "zh", "--help"], ["--help"]),
        (["--data-dir", "X", "queue"], ["queue", "--data-dir", "X"]),
        (
            ["--data-dir=X", "--safe-mode", "queue", "clear"],
            ["queue", "--data-dir=X", "--safe-mode", "clear"],
        ),
        (["--verbose", "txt2img", "queue"], ["txt2img", "--verbose", "queue"]),
        (["--data-dir", "models"], ["serve", "--data-dir", "models"]),
        (["--port", "1", "--no-open"], ["serve", "--port", "1", "--no-open"]),
        (["nonsense"], ["nonsense"]),
    ],
)
def test_the_command_may_stand_anywhere_and_serve_is_the_default(words, meant):
    assert with_command(words, COMMANDS) == meant


def test_a_fault_of_ours_is_one_line_and_a_log(run, tmp_data_dir, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("oops")

    monkeypatch.setattr("modules.app.build_studio", broken)
    status, out, err = run("models")
    assert (status, out) == (1, "")
    assert "Traceback" not in err
    assert "RuntimeError: oops" in err
    assert "noisette.log" in err
    assert "in broken" in (tmp_data_dir / "data" / "logs" / "noisette.log").read_text()
    assert "Traceback" in run("models", "--verbose")[2]


def test_serve_waits_for_a_command_that_makes_pictures(tmp_data_dir, capsys):
    command = InstanceLock(tmp_data_dir).acquire()
    threading.Timer(0.6, command.release).start()
    options = parser("en").parse_args(["serve"])
    settings = Settings(data_dir=tmp_data_dir)
    began = time.monotonic()
    with turn(Run(options, settings)):
        assert time.monotonic() - began > 0.5
    err = capsys.readouterr().err
    assert f"A command (process {os.getpid()}) is making pictures" in err
    assert len(err.splitlines()) == 1


def test_a_taken_port_is_said_at_once(run, tmp_data_dir):
    command = InstanceLock(tmp_data_dir).acquire()
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        status, _, err = run("serve", "--no-open", "--port", str(port))
        assert (status, f"{port}" in err) == (2, True)
        command.tell("http://127.0.0.1:1/")
        assert "Noisette already runs" in run("serve", "--no-open", "--port", str(port))[2]
    command.release()


def test_serve_does_not_wait_for_another_page(tmp_data_dir):
    page = InstanceLock(tmp_data_dir).acquire("http://127.0.0.1:1/")
    options = parser("en").parse_args(["serve"])
    with pytest.raises(UserError, match="Noisette already runs"):
        turn(Run(options, Settings(data_dir=tmp_data_dir)))
    page.release()


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

def build_app(settings, door, reach, sharing):
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
    with Bar(terminal, quiet=False) as bar, bar.following(here.studio, job.id):
        here.studio.run(job.id)
    here.studio.close()
    assert "denoising 5/10" in terminal.text
    assert terminal.text.endswith("\r\x1b[K")
    with Image.open(next((tmp_path / "outputs").rglob("*.png"))) as image:
        assert image.size == (64, 64)
