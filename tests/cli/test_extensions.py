"""`noisette extensions …`, from the words to the exit status."""

import json
from pathlib import Path

import pytest

from modules import cli
from tests.plugins.write import write

PLAIN = """
from modules.plugins import Options, hookimpl
class Extension:
    @hookimpl
    def register_options(self):
        return Options
"""


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    def run(*words, answer=""):
        monkeypatch.setattr("builtins.input", lambda question: answer)
        places = ["--data-dir", str(tmp_path), "--extensions-dir", str(tmp_path / "here")]
        status = cli.main(["extensions", *words, *places])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "source", "fresh", PLAIN, more='permissions = ["network"]\n')


def rows(run) -> dict[str, str]:
    return {row["name"]: row["state"] for row in json.loads(run("list", "--json")[1])}


def test_no_is_no(run, source, tmp_path):
    status, out, _ = run("install", str(source), answer="n")
    assert status == 2
    assert "Asks for: the network" in out
    assert "plugin.py" in out and "Nothing was installed." in out
    assert rows(run) == {}
    assert list((tmp_path / "here").glob(".staging*")) == []


def test_the_whole_life(run, source):
    assert run("install", str(source), answer="yes")[0] == 0
    assert rows(run) == {"fresh": "active"}
    assert run("disable", "fresh")[0] == 0
    assert rows(run) == {"fresh": "disabled"}
    assert run("enable", "fresh")[0] == 0
    assert "newest" in run("update", "fresh")[1]
    write(source.parent, "fresh", PLAIN, version="2.0.0")
    assert "replaces 1.0.0" in run("update", "fresh", "--yes")[1]
    assert "fresh\t2.0.0\tactive" in run("list")[1]
    assert run("rollback", "fresh")[0] == 0
    assert "fresh\t1.0.0\tactive" in run("list")[1]
    assert run("remove", "fresh")[0] == 0
    assert "'extensions rollback' brings it back" in run("list")[1]


def test_options_stand_before_or_after_what_they_are_for(run, source):
    assert run("install", "--yes", str(source))[0] == 0
    assert rows(run) == {"fresh": "active"}
    status, _, err = run("install", "--yes", "--commit", "0" * 40, str(source))
    assert (status, "--commit" in err) == (2, True)


def test_what_is_wrong_is_one_line(run):
    for words in (
        ["install"],
        ["install", "ext::sh"],
        ["enable", "nothing"],
        ["check", "no/where"],
    ):
        status, _, err = run(*words)
        assert (status, len(err.splitlines())) == (2, 1), words
    assert run("remove", "../x")[0] == 2


def test_a_new_one(run, tmp_path):
    assert run("new", "glow")[0] == 0
    assert rows(run) == {"glow": "active"}
    assert run("new", "glow")[0] == 2


COMMAND = """
from modules.plugins import Command, Options, hookimpl, problem
class Extension:
    @hookimpl
    def register_options(self):
        return Options
    @hookimpl
    def register_commands(self):
        return [Command("say", "Say it", usage="WORDS", run="plugin:say")]
def say(words, host):
    if not words:
        raise problem("Say something.", "请说。")
    if words == ["oops"]:
        raise RuntimeError("no")
    return f"{host.name}: {' '.join(words)}"
"""


def test_a_command_of_an_extension(run, tmp_path):
    write(tmp_path / "here", "fresh", COMMAND)
    assert run("run", "fresh", "say", "to=x", "<a:b>") == (0, "fresh: to=x <a:b>\n", "")
    status, out, _ = run("run", "fresh")
    assert status == 0 and "run fresh say WORDS" in out
    assert run("run", "fresh", "sing")[0] == 2
    assert "Say something." in run("run", "fresh", "say")[2]
    assert "fresh" in run("run", "fresh", "say", "oops")[2]
    assert run("run", "gone", "say")[0] == 2
    assert "oops" in run("enable", "fresh", "oops")[2]
