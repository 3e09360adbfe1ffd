"""A whole installation that works through its queue and is killed at a point of the plan.

`folder` · `child`: work in a child process · `disk`: [method of the disk, which call of it] · `store`: [method of the
store, "before" or "after"] · `seconds`: of a step. It sets `ready` and ends by itself when nothing waits.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from modules.schema import JobState
from modules.services.worker import ChildWorker
from modules.settings import Settings
from tests.services.fakes import FakeGenerate, FaultyDisk, house


def deadly(method, when):
    def call(*args, **kwargs):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def main(plan, ready):
    root = Path(plan["folder"])
    disk = FaultyDisk(*plan["disk"], None, ".png") if plan.get("disk") else None
    worker = None
    if plan.get("child"):
        command = (sys.executable, str(Path(__file__).with_name("fake_child.py")))
        environ = {**os.environ, "FAKE_CHILD": json.dumps({"seconds": plan.get("seconds", 0)})}
        worker = ChildWorker(Settings(data_dir=root), command=command, environ=environ)
    here = house(root, FakeGenerate(plan.get("seconds", 0.0)), disk=disk, worker=worker)
    if plan.get("store"):
        name, when = plan["store"]
        setattr(here.store, name, deadly(getattr(here.store, name), when))
    here.studio.start()
    ready.set()
    while True:
        counts = here.studio.counts()
        if not counts[JobState.QUEUED] + counts[JobState.RUNNING]:
            break
        time.sleep(0.01)
    here.studio.close()
