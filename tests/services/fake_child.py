"""A worker process with the fake engine; FAKE_CHILD says how it behaves (JSON).

`die`: [job, where] SIGKILL at that point of that attempt · `noise`: print to stdout · `seconds`: of a step.
"""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from modules.worker_process import serve
from tests.services.fakes import FakeGenerate, FaultyDisk, service


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
            os.kill(os.getpid(), signal.SIGKILL)

    disk = None
    if plan.get("disk") and not once.exists():
        once.write_text("x")
        disk = FaultyDisk(plan["disk"], plan.get("at", 1), None, only=".png")
    return service(settings.data_dir, FakeGenerate(plan.get("seconds", 0.0), before), disk=disk)


if __name__ == "__main__":
    status = serve(build)
    sys.stderr.flush()
    os._exit(status)
