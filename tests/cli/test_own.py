"""Commands that extensions bring to the top, with the queue in their hands."""

from pathlib import Path

import pytest
from PIL import Image

from modules.cli.main import main
from modules.imaging import metadata

PLUGIN = """
from modules.plugins import Command, GenerationRequest, Options, hookimpl

class DoubleOptions(Options):
    pass

class Page:
    @hookimpl
    def register_options(self):
        return DoubleOptions

    @hookimpl
    def register_commands(self):
        return [
            Command("double", "Twice as large", "放大一倍", usage="FILE TARGET", run="commands:double", top=True),
            Command("queue", "Never reached", run="commands:double", top=True),
        ]
"""
WORKER = """
from modules.plugins import hookimpl

class Twice:
    order = 0
    def finish(self, image, request, index, progress):
        progress(0.5)
        return image.resize((image.width * 2, image.height * 2))
    def infotext(self):
        return {"Doubled": "yes"}

class Worker:
    @hookimpl
    def register_finishers(self, request, options):
        return [Twice()]
"""
COMMANDS = """
from pathlib import Path
from modules.plugins import GenerationRequest

def double(words, host, queue):
    file, target = words
    queue.check_target(target)
    given = queue.keep(Path(file).read_bytes(), Path(file).name)
    (made,) = queue.run(GenerationRequest(postprocess=given, extras={"twice": {"enabled": True}}))
    return str(queue.save(made, target, Path(file).stem))
"""
MANIFEST = (
    'name = "twice"\ntitle = "Twice"\nversion = "1"\nnoisette = ">=0.1"\n'
    'plugin = "plugin:Page"\nworker = "worker:Worker"\n'
)


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    folder = tmp_path / "extensions" / "twice"
    folder.mkdir(parents=True)
    for name, text in (
        ("extension.toml", MANIFEST), ("plugin.py", PLUGIN), ("worker.py", WORKER), ("commands.py", COMMANDS),
    ):  # fmt: skip
        (folder / name).write_text(text, encoding="utf-8")
    (tmp_path / "models").mkdir()
    return [
        "--data-dir", str(tmp_path / "here"), "--models-dir", str(tmp_path / "models"),
        "--extensions-dir", str(tmp_path / "extensions"),
    ]  # fmt: skip


def test_a_picture_goes_through_the_queue_and_comes_out(places, tmp_path, capsys):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "apple.jpg")
    status = main(["double", str(tmp_path / "apple.jpg"), str(tmp_path / "out/"), *places])
    assert (status, capsys.readouterr().out.strip()) == (0, str(tmp_path / "out" / "apple.png"))
    said = metadata.decode(tmp_path / "out" / "apple.png")
    assert said.infotext.startswith("Doubled: yes, Version: Noisette")
    assert said.postprocess.postprocess.name == "apple.jpg"
    (kept,) = (tmp_path / "here").rglob("outputs/postprocess/*/*.png")
    with Image.open(kept) as image:
        assert image.size == (40, 20)


def test_what_is_no_picture_and_a_target_that_refuses_are_told(places, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"no")
    assert main(["double", str(tmp_path / "bad.png"), str(tmp_path), *places]) == 2
    assert "bad.png" in capsys.readouterr().err
    assert main(["double", str(tmp_path / "bad.png"), "x.tiff", *places, "--lang", "zh"]) == 2
    assert ".tiff" in capsys.readouterr().err


def test_help_and_the_programs_own_commands(places, capsys):
    assert main(["double", "--help", *places]) == 0
    assert capsys.readouterr().out.startswith("noisette double FILE TARGET\n\nTwice as large")
    assert main([*places, "double", "--help"]) == 0
    assert capsys.readouterr().out.startswith("noisette double FILE TARGET")
    assert main(["queue", *places]) == 0  # the program's own
    assert "Never" not in capsys.readouterr().out
    assert main(["nothing", *places]) == 2
