"""One program at a time on one data folder."""

import subprocess
import sys
import time

import pytest

from modules.errors import StorageError, UserError
from modules.services.instance import InstanceLock

HOLD = """
import sys, time
from pathlib import Path
from modules.services.instance import InstanceLock
lock = InstanceLock(Path(sys.argv[1])).acquire("http://127.0.0.1:1/")
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_one_is_refused_and_told_by_whom(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {child.pid}, http://127.0.0.1:1/"):
            InstanceLock(tmp_path).acquire()
        child.kill()  # kill -9: nothing stays behind that would have to be removed by hand
        child.wait()
        InstanceLock(tmp_path).acquire().release()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_given_back_it_can_be_taken_again(tmp_path):
    # No page is served here: the message speaks of a command, and names no address.
    with (
        InstanceLock(tmp_path).acquire(),
        pytest.raises(UserError, match=r"A command of Noisette .*process \d+\)"),
    ):
        InstanceLock(tmp_path).acquire()
    lock = InstanceLock(tmp_path).acquire("u")
    assert lock.holder().url == "u"
    assert lock.holder().since <= time.time()
    lock.release()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(StorageError):
        InstanceLock(tmp_path).acquire()


def test_a_broken_note_is_no_obstacle(tmp_path):
    lock = InstanceLock(tmp_path).acquire()
    (tmp_path / "data" / "instance.json").write_text("{half")
    assert lock.holder().pid == 0
    lock.release()
