"""The terminal gets a line, the file gets the traceback."""

import io
import logging
import sys
import traceback
from pathlib import Path

import pytest
from pydantic import BaseModel

from modules.services.logs import logging_to

HINT = "(details: there)"


class Whole(BaseModel):
    """Something to be refused by pydantic, whose messages have several lines."""

    number: int


def fail(kind: str) -> None:
    try:
        if kind == "chained":
            try:
                raise ValueError("root")
            except ValueError as error:
                raise RuntimeError("consequence") from error
        if kind == "lines":
            Whole.model_validate({"number": "x"})
        raise ValueError("root")
    except (ValueError, RuntimeError):
        traceback.print_exc()


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run something; the terminal's text and the file's."""

    def run(action, *, verbose: bool = False) -> tuple[str, str]:
        terminal = io.StringIO()
        monkeypatch.setattr(sys, "stderr", terminal)
        file = tmp_path / "logs" / "x.log"
        with logging_to(file, hint=HINT, verbose=verbose):
            action()
        return terminal.getvalue(), file.read_text() if file.exists() else ""

    return run


@pytest.mark.parametrize(
    ("kind", "line", "kept"),
    [
        ("plain", "ValueError: root", "ValueError: root"),
        ("chained", "ValueError: root", "RuntimeError: consequence"),
        ("lines", "pydantic_core._pydantic_core.ValidationError: 1 ", "valid integer"),
    ],
)
def test_a_printed_traceback_becomes_one_line(told, kind: str, line: str, kept: str):
    def action() -> None:
        fail(kind)
        print("and it goes on", file=sys.stderr)

    terminal, log = told(action)
    first, second = terminal.splitlines()
    assert first.startswith(line)
    assert first.endswith(HINT)
    assert second == "and it goes on"
    assert "Traceback (most recent call last)" in log
    assert "line" in log
    assert kept in log


def test_a_second_one_is_told_as_well(told):
    terminal, _ = told(lambda: (fail("chained"), fail("plain")))
    assert len(terminal.splitlines()) == 2


def test_a_logged_exception_too(told):
    def action() -> None:
        try:
            raise ValueError("deep inside")
        except ValueError:
            logging.getLogger("x").exception("it broke")
        logging.getLogger("x").error("job 1 failed:\nTraceback\n  File")

    terminal, log = told(action)
    assert terminal == f"error: it broke {HINT}\nerror: job 1 failed {HINT}\n"
    assert "deep inside" in log
    assert "  File" in log


def test_verbose_shows_all(told):
    terminal, log = told(lambda: fail("plain"), verbose=True)
    assert "Traceback" in terminal
    assert log == ""


def test_nothing_wrong_writes_no_file(told, tmp_path: Path):
    terminal, _ = told(lambda: sys.stderr.write("\r[##..] 1/2"))
    assert terminal == "\r[##..] 1/2"
    assert not (tmp_path / "logs").exists()


def test_a_folder_that_refuses_costs_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "logs").write_text("in the way")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    handlers = list(logging.getLogger().handlers)
    with logging_to(tmp_path / "logs" / "x.log", hint=HINT):
        logging.getLogger("x").error("still said")
    assert stream.getvalue() == "error: still said\n"
    assert logging.getLogger().handlers == handlers
