"""A worker process with the fake engine; FAKE_CHILD says how it behaves (JSON).

`die`: SIGKILL at that point of the first attempt (`always`: of each) · `how`: "segfault", "exit" or "cuda" instead of
SIGKILL · `noise`: print to stdout · `seconds`: of a step.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from modules.worker_process import serve
from tests.services.fakes import FakeGenerate, FaultyDisk, service


def end(how):
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(9)
        case "cuda":
            raise RuntimeError("CUDA error: device-side assert triggered")
    os.kill(os.getpid(), signal.SIGKILL)


def build(settings):
    plan = json.loads(os.environ.get("FAKE_CHILD", "{}"))
    if plan.get("broken"):
        raise RuntimeError("no engine today")
    once = settings.data_dir / "fault-done"

    def before(stage, step):
        if plan.get("noise"):
            print('{"type": "event", "event": {"type": "finished"}}', flush=True)
            os.write(1, b"rubbish\n")
        if plan.get("die") == f"{stage}{step}" and (plan.get("always") or not once.exists()):
            once.write_text("x")
            end(plan.get("how"))

    disk = None
    if plan.get("disk") and not once.exists():
        once.write_text("x")
        disk = FaultyDisk(plan["disk"], plan.get("at", 1), None, only=".png")
    more = {}
    if plan.get("extensions"):
        from modules.plugins.inside import Board
        from modules.plugins.manager import Plugins

        board = Board(settings.running_file)
        folder = Path(plan["extensions"])
        more["plugins"] = Plugins.load(folder, process="worker", inside=board.inside)
    engine = FakeGenerate(plan.get("seconds", 0.0), before)
    return service(settings.data_dir, engine, disk=disk, **more)


if __name__ == "__main__":
    status = serve(build)
    sys.stderr.flush()
    os._exit(status)
