"""Who does the work: this process, or a child that may die without taking the page with it."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from modules.errors import UserError
from modules.schema import Event, Failed, Finished, Job
from modules.services.child import Child, WorkerDied
from modules.services.harden import child_environment
from modules.services.performing import Generation, failed, perform
from modules.settings import Settings

log = logging.getLogger(__name__)

__all__ = ["ChildWorker", "InProcessWorker", "Worker", "WorkerDied"]


class Worker(Protocol):
    """Runs one job at a time."""

    def start(self) -> None:
        """Get ready in the background."""

    def run(self, job: Job, on_event: Callable[[Event], None]) -> None:
        """Do the job; the last event is `Finished` or `Failed`.

        Raises:
            WorkerDied: the process is gone; the next `run` starts another.
        """

    def cancel(self, job_id: int) -> None:
        """Ask the job to stop; of no effect on any other."""

    def skip(self, job_id: int) -> None:
        """Ask the job to go on to its next batch; of no effect on any other."""

    def unload(self) -> bool:
        """Let go of all that is loaded; False while a job runs."""

    def close(self, timeout: float = 5.0) -> None:
        """End, whatever runs; within about `timeout` seconds."""


class InProcessWorker:
    """Works in the thread that calls `run`: for the command line and for tests. Built when first needed."""

    def __init__(self, build: Callable[[], Generation]) -> None:
        self._build = build
        self._generation: Generation | None = None
        self._lock = threading.Lock()
        self._stops: dict[int, threading.Event] = {}
        self._skips: dict[int, threading.Event] = {}
        self._closed = False

    def start(self) -> None:
        """Nothing to do ahead: the only job comes at once."""

    def run(self, job: Job, on_event: Callable[[Event], None]) -> None:
        """Do the job here and now."""
        stop, skip = threading.Event(), threading.Event()
        with self._lock:
            if self._closed:
                raise WorkerDied(None)
            self._stops[job.id] = stop
            self._skips[job.id] = skip
        try:
            try:
                self._generation = self._generation or self._build()
            except UserError as error:
                on_event(failed(error, job.id))
                return
            perform(self._generation, job, on_event, stop, skip)
        finally:
            with self._lock:
                self._stops.pop(job.id, None)
                self._skips.pop(job.id, None)

    def cancel(self, job_id: int) -> None:
        """Ask the job to stop at its next step."""
        with self._lock:
            stop = self._stops.get(job_id)
        if stop is not None:
            stop.set()

    def skip(self, job_id: int) -> None:
        """Ask the job to go on to its next batch."""
        with self._lock:
            skip = self._skips.get(job_id)
        if skip is not None:
            skip.set()

    def unload(self) -> bool:
        """The next job builds everything anew."""
        with self._lock:
            if self._stops:
                return False
            self._generation = None
            return True

    def close(self, timeout: float = 5.0) -> None:
        """Ask what runs to stop."""
        with self._lock:
            self._closed = True
            stops = list(self._stops.values())
        for stop in stops:
            stop.set()


class ChildWorker:
    """Works in a child process (`modules.worker_process`), started ahead, started again when it dies.

    `command` is what to start; tests hand in a child with a fake engine.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        command: Sequence[str] = (sys.executable, "-m", "modules.worker_process"),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._command = tuple(command)
        self._environ = child_environment(environ)
        self._log_file = settings.data_dir / "data" / "logs" / "worker.log"
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False
        self._busy = False
        self._asked_to_stop: set[int] = set()

    @property
    def pid(self) -> int | None:
        """The child's process id while it lives."""
        with self._lock:
            return self._child.pid if self._child and self._child.alive else None

    @property
    def warm(self) -> bool:
        """The child has the default model loaded."""
        with self._lock:
            return self._child is not None and self._child.warm

    def start(self) -> None:
        """Start the child; it loads torch and the default model while nobody waits."""
        try:
            self._living()
        except WorkerDied as death:
            log.error("the worker did not start: %s", death.tail)  # the first job tries again

    def run(self, job: Job, on_event: Callable[[Event], None]) -> None:
        """Hand the job to the child and pass on what it tells; an extension that hangs there is ended and named."""
        child = self._living(busy=True)
        try:
            self._asked_to_stop.discard(job.id)
            child.job_id = job.id
            child.send({"type": "run", "job": job.model_dump(mode="json")})
            while True:
                event = child.next_event(lambda: job.id in self._asked_to_stop)
                on_event(event.model_copy(update={"job_id": job.id}))
                if isinstance(event, Finished | Failed):
                    return
        finally:
            with self._lock:
                self._busy = False
            self._asked_to_stop.discard(job.id)

    def cancel(self, job_id: int) -> None:
        """Tell the child; it looks between two steps."""
        self._asked_to_stop.add(job_id)
        with self._lock:
            child = self._child
        if child is not None:
            child.send({"type": "cancel", "job_id": job_id})

    def skip(self, job_id: int) -> None:
        """Tell the child; it looks between two steps."""
        with self._lock:
            child = self._child
        if child is not None:
            child.send({"type": "skip", "job_id": job_id})

    def unload(self) -> bool:
        """End the child: that gives everything back. The next job, or `start`, starts another."""
        with self._lock:
            if self._busy:
                return False
            child, self._child = self._child, None
        if child is not None:
            child.close(2.0)
        return True

    def close(self, timeout: float = 5.0) -> None:
        """Let the child end by itself, then end it."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            child.close(timeout)

    def _living(self, *, busy: bool = False) -> "Child":
        with self._lock:
            if self._closed:
                raise WorkerDied(None)
            if self._child is not None and not self._child.alive:
                self._child.close(0.0)
                self._child = None
            if self._child is None:
                self._child = Child(self._command, self._environ, self._settings, self._log_file)
            self._busy = self._busy or busy
            return self._child
