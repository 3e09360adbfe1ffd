"""What the doctor finds, and that he says what to do."""

import pytest

from modules import cli, doctor
from modules.doctor import Level
from modules.settings import Settings
from modules.texts import catalogue


@pytest.fixture
def settings(tmp_path):
    for name in ("models", "extensions"):
        (tmp_path / name).mkdir()
    return Settings(
        data_dir=tmp_path / "home",
        models_dir=tmp_path / "models",
        extensions_dir=tmp_path / "extensions",
        port=0,
    )


@pytest.fixture(autouse=True)
def no_torch_process(monkeypatch):
    """Importing torch takes seconds; the one test that needs it undoes this."""
    monkeypatch.setattr(doctor, "_TORCH_PROBE", TORCH_ON_CPU)


TORCH_ON_CPU = """
print('{"version": "2", "cuda_build": "", "device": "cpu", "name": "", "memory": 0}')
"""


def found(settings, area):
    return [finding for finding in doctor.examine(settings) if finding.area == area]


def test_every_text_is_in_the_catalogue(settings):
    for language in ("en", "zh"):
        for finding in doctor.examine(settings):
            assert finding.key in catalogue(language)
            assert "{" not in finding.message(language)


def test_no_model_is_broken_and_says_where_to_put_one(settings):
    (finding,) = found(settings, "models")
    assert finding.level is Level.BROKEN
    assert "checkpoints" in finding.message("en")


def test_a_broken_model_file_is_named(settings):
    folder = settings.models_dir / "checkpoints"
    folder.mkdir()
    (folder / "bad.safetensors").write_bytes(b"<html>")
    problem, _ = found(settings, "models")
    assert problem.level is Level.WARNING
    assert "bad.safetensors" in problem.message("en")


def test_a_broken_extension_is_named(settings):
    (settings.extensions_dir / "bad").mkdir()
    (settings.extensions_dir / "bad" / "extension.toml").write_text("name = ")
    first, _ = found(settings, "extensions")
    assert first.level is Level.WARNING
    assert first.message("en").startswith("bad is off: ")


def test_a_folder_that_cannot_be_written(settings):
    settings.data_dir.write_text("a file in the way")
    assert all(finding.level is Level.BROKEN for finding in found(settings, "data"))


@pytest.mark.parametrize(
    ("probe", "level"),
    [
        (TORCH_ON_CPU, Level.GOOD),
        ("raise ImportError('libcudart is missing')", Level.BROKEN),
        ("import os; os.kill(os.getpid(), 11)", Level.BROKEN),
    ],
)
def test_torch(settings, monkeypatch, probe, level):
    monkeypatch.setattr(doctor, "_TORCH_PROBE", probe)
    (finding,) = doctor._torch()
    assert finding.level is level


def test_a_damaged_database_is_broken(settings):
    settings.database.parent.mkdir(parents=True)
    settings.database.write_bytes(b"x" * 5000)
    (finding,) = found(settings, "database")
    assert finding.level is Level.BROKEN
    assert "damaged" in finding.message("en")


def test_a_port_in_use_is_a_warning(settings):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = settings.model_copy(update={"port": taken.getsockname()[1]})
        (finding,) = found(busy, "port")
    assert finding.level is Level.WARNING


def test_the_command(settings, capsys, tmp_path):
    words = ["doctor", "--data-dir", str(tmp_path / "d"), "--models-dir", str(settings.models_dir)]
    assert cli.main(words) == 1
    out = capsys.readouterr().out
    assert "broken" in out
    assert cli.main([*words, "--json", "--lang", "zh"]) == 1
    assert '"level": "broken"' in capsys.readouterr().out
