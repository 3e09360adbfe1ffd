"""The child process that makes pictures: JSON lines in on stdin, JSON lines out on stdout.

    in    {"type": "settings", "settings": {…}}   first, once
          {"type": "run", "job": {…}}             one at a time
          {"type": "cancel", "job_id": 1}
          {"type": "skip", "job_id": 1}           leave out the batch that is being made
          {"type": "close"}
    out   {"type": "ready", "pid": 1}             built: torch is imported, the model folders are read
          {"type": "warm", "model": "…"}          the default model is loaded
          {"type": "broken", "error": {…}}        it could not be built; the process ends
          {"type": "event", "event": {…}}         see modules.schema.events

It ends when stdin does, so it never outlives the page. It is started by `modules.services.worker.ChildWorker`.
"""

import faulthandler
import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import IO, Any

from modules.errors import UserError
from modules.schema import Event, Job
from modules.services.performing import Generation, perform
from modules.settings import Settings

log = logging.getLogger(__name__)

POISONED = 3
"""Exit status when the device cannot be used any more by this process; the next job gets a new one."""


def main() -> int:
    """Run until stdin ends or says close."""
    return serve(_build)


def serve(build: Callable[[Settings], Generation]) -> int:
    """Run with what `build` makes of the settings; the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it says close
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    messages, answers = _take_pipes()
    first = json.loads(messages.readline() or b"{}")
    if first.get("type") != "settings":
        return 1
    link = _Link(messages, answers)
    link.start()
    try:
        generation = build(Settings.model_validate(first["settings"]))
    except Exception as error:  # noqa: BLE001  # whatever it is, the page must hear why
        known = error if isinstance(error, UserError) else _internal(error)
        lines = "".join(traceback.format_exception(error))
        sys.stderr.write(lines)
        link.send({"type": "broken", "error": known.to_dict(), "traceback": lines})
        return 1
    link.send({"type": "ready", "pid": os.getpid()})
    if link.idle:
        _warm_up(generation, link)
    return _work(generation, link)


def _work(generation: Generation, link: "_Link") -> int:
    while (job := link.next_job()) is not None:
        error = perform(
            generation, job, link.send_event, link.stop_of(job.id), link.skip_of(job.id)
        )
        link.forget(job.id)
        if error is not None and _poisons(error):
            log.error("the device is unusable after this error: a new process takes over")
            return POISONED
    return 0


def _warm_up(generation: Generation, link: "_Link") -> None:
    try:
        model = generation.warm_up()
    except Exception:  # the first job will say what is wrong, to the person who asked for it
        log.exception("the default model could not be loaded ahead")
    else:
        link.send({"type": "warm", "model": model})


def _build(settings: Settings) -> Generation:
    from modules.app import (
        build_worker,  # torch and the models: only here, not in the page's process
    )

    return build_worker(settings)


class _Link:
    """Both pipes: a thread reads, so that a cancel arrives while the engine works."""

    def __init__(self, messages: IO[bytes], answers: IO[bytes]) -> None:
        self._messages = messages
        self._answers = answers
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._stops: dict[int, threading.Event] = {}
        self._skips: dict[int, threading.Event] = {}
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    @property
    def idle(self) -> bool:
        return self._jobs.empty()

    def start(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def next_job(self) -> Job | None:
        return self._jobs.get()

    def stop_of(self, job_id: int) -> threading.Event:
        with self._lock:
            return self._stops.setdefault(job_id, threading.Event())

    def skip_of(self, job_id: int) -> threading.Event:
        with self._lock:
            return self._skips.setdefault(job_id, threading.Event())

    def forget(self, job_id: int) -> None:
        with self._lock:
            self._stops.pop(job_id, None)
            self._skips.pop(job_id, None)

    def send_event(self, event: Event) -> None:
        self.send({"type": "event", "event": event.model_dump(mode="json")})

    def send(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message).encode("ascii") + b"\n"
        with self._sending:
            try:
                self._answers.write(data)
                self._answers.flush()
            except OSError:
                os._exit(1)  # nobody listens any more

    def _read(self) -> None:
        for line in self._messages:
            message = json.loads(line)
            match message["type"]:
                case "run":
                    job = Job.model_validate(message["job"])
                    self.forget(job.id)  # a late cancel of an earlier attempt is not for this one
                    self._jobs.put(job)
                case "cancel":
                    self.stop_of(int(message["job_id"])).set()
                case "skip":
                    self.skip_of(int(message["job_id"])).set()
                case "close":
                    with self._lock:
                        for stop in self._stops.values():
                            stop.set()
                    self._jobs.put(None)
        # The parent is gone. What was being saved is whole or not there; the next process goes on from that.
        os._exit(1)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipes for messages alone: a library that prints writes to the log, one that asks gets no answer."""
    messages = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return messages, answers


def _internal(error: Exception) -> UserError:
    return UserError("error.worker.broken", what=f"{type(error).__name__}: {error}")


def _poisons(error: Exception) -> bool:
    text = str(error)
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in text


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # torch takes its time to be torn down, and nothing of it is needed
