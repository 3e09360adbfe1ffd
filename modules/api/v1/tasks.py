"""The names that clients give their requests (`force_task_id`), to ask after them while they wait."""

import threading
from collections import OrderedDict

MOST = 1000


class Tasks:
    """Which job a client's task became; the newest `MOST`. Nothing here outlives the process."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[tuple[str, str], tuple[int, ...]] = OrderedDict()
        self._names: dict[int, str] = {}
        self._lock = threading.Lock()

    def add(self, client: str, task: str, jobs: tuple[int, ...]) -> None:
        """A request became these jobs."""
        with self._lock:
            for job in self._jobs.pop((client, task), ()):  # clients use a name again
                self._names.pop(job, None)
            self._jobs[client, task] = jobs
            self._names.update(dict.fromkeys(jobs, task))
            while len(self._jobs) > MOST:
                _, old = self._jobs.popitem(last=False)
                for job in old:
                    self._names.pop(job, None)

    def jobs(self, client: str, task: str) -> tuple[int, ...]:
        """The jobs of a client's task; empty where there is none of that name."""
        with self._lock:
            return self._jobs.get((client, task), ())

    def name(self, job: int, uid: str) -> str:
        """What a job is called."""
        with self._lock:
            return self._names.get(job, f"task({uid})")
