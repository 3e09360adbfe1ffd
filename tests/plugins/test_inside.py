"""The board that says which extension's code is running."""

import os
import subprocess
import sys
from pathlib import Path

from modules.plugins.inside import Board


def test_the_board_tells_another_process_what_runs(tmp_path: Path) -> None:
    file = tmp_path / "spool" / "inside"
    board = Board(file)
    code = (
        "import sys, pathlib, time; from modules.plugins.inside import Board;"
        "b = Board(pathlib.Path(sys.argv[1]));"
        "c = b.inside('echo', 'before_model'); c.__enter__(); print(1, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    assert child.stdout is not None and child.stdin is not None
    child.stdout.readline()
    found = board.read()
    assert found is not None
    assert (found.extension, found.hook) == ("echo", "before_model")
    child.stdin.close()
    child.wait(10)
    child.stdout.close()
    board.clear()
    assert board.read() is None
    board.close()


def test_the_board_remembers_the_outer_call(tmp_path: Path) -> None:
    board = Board(tmp_path / "inside")
    with board.inside("a", "one"):
        with board.inside("b", "two"):
            pass
        found = board.read()
    assert found is not None and found.extension == "a"
    assert board.read() is None
    board.close()
