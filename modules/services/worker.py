"""Who does the work: this process, or a child that may die without taking the page with it."""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, Protocol

from modules.errors import Cancelled, ExtensionError, Skipped, UserError
from modules.plugins.inside import Board
from modules.schema import (
    Event,
    Failed,
    Finished,
    ImageSaved,
    Job,
    Stage,
    StageChanged,
    StepDone,
    event_from_dict,
)
from modules.services.journal import JobLog
from modules.services.watchdog import Watchdog
from modules.settings import PROJECT, Settings

log = logging.getLogger(__name__)

LOG_BYTES = 2_000_000
LOG_FILES = 3
_TAIL_LINES = 60
_LOOK_SECONDS = 0.5
_ABORT_SECONDS = 3.0
_SCRUBBED = ("TORCH_FORCE_NO_WEIGHTS_ONLY", "GRADIO_", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "DIFFUSERS_DISABLE_REMOTE_CODE": "1",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}


class WorkerDied(Exception):  # it is what happened; the dispatcher deals with it
    """The process that ran a job is gone; `tail` is the last that it wrote to its log."""

    def __init__(self, returncode: int | None, tail: str = "") -> None:
        super().__init__(returncode)
        self.returncode = returncode
        self.tail = tail


class Generation(Protocol):
    """`modules.services.generation.GenerationService`, or a fake of a test."""

    def run(self, job: Job, report: Callable[[Event], None]) -> None: ...
    def warm_up(self) -> str: ...


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


def perform(
    generation: Generation,
    job: Job,
    report: Callable[[Event], None],
    stop: threading.Event,
    skip: threading.Event | None = None,
) -> Exception | None:
    """Run one job and tell everything of it to `report`, the end included; the unforeseen error, if there was one.

    A cancelled job stops at the next step or stage; once its pictures are made they are saved all the same. `skip`
    leaves out the batch that is being made, and is cleared.
    """

    def checked(event: Event) -> None:
        if stop.is_set() and _may_stop(event):
            raise Cancelled
        if skip is not None and skip.is_set() and _in_a_batch(event):
            skip.clear()
            raise Skipped
        report(event.model_copy(update={"job_id": job.id}))
        if skip is not None and isinstance(event, ImageSaved):
            skip.clear()  # too late for what is saved, and the next batch was not meant

    try:
        generation.run(job, checked)
    except Cancelled:
        report(Finished(job_id=job.id, cancelled=True))
    except UserError as error:
        report(Failed(job_id=job.id, error=_plain(error), traceback=_cause(error)))
    except Exception as error:  # noqa: BLE001  # a fault of ours fails one job; the log has its traceback
        lines = "".join(traceback.format_exception(error))
        report(Failed(job_id=job.id, error=_plain(_words(error)), traceback=lines))
        return error
    else:
        report(Finished(job_id=job.id))
    return None


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
                on_event(Failed(job_id=job.id, error=_plain(error), traceback=_cause(error)))
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
        self._child: _Child | None = None
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

    def _living(self, *, busy: bool = False) -> "_Child":
        with self._lock:
            if self._closed:
                raise WorkerDied(None)
            if self._child is not None and not self._child.alive:
                self._child.close(0.0)
                self._child = None
            if self._child is None:
                self._child = _Child(self._command, self._environ, self._settings, self._log_file)
            self._busy = self._busy or busy
            return self._child


class _Child:
    """One child process with its two listening threads: messages, and the log."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], settings: Settings, log_file: Path
    ) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environ),
                cwd=PROJECT,
            )
        except OSError as error:
            raise WorkerDied(None, str(error)) from error
        self.warm = False
        self.job_id: int | None = None
        """The job that it works at or worked at last: what it writes to its log belongs to that."""
        self._board = Board(settings.running_file)
        self._board.clear()
        self._watchdog = Watchdog(self._board, settings.extension_seconds)
        self._sending = threading.Lock()
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._threads = [
            threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._log, args=(self._process.stderr, log_file), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self.send({"type": "settings", "settings": settings.model_dump(mode="json")})

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one line; that the child is gone is noticed where its messages are read."""
        data = json.dumps(message).encode("ascii") + b"\n"
        stdin = self._process.stdin
        assert stdin is not None
        with self._sending:
            try:
                stdin.write(data)
                stdin.flush()
            except (OSError, ValueError):
                log.debug("the worker did not take %s", message.get("type"))

    def next_event(self, asked_to_stop: Callable[[], bool] = lambda: False) -> Event:
        """Wait for the next event of the job that runs."""
        while True:
            try:
                message = self._messages.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                found = self._watchdog.stuck(asked_to_stop=asked_to_stop())
                if found is not None:
                    return self._cut(found[0].extension, found[0].hook, found[1])
                continue
            if message is None:
                raise self._died()
            if message["type"] == "event":
                return event_from_dict(message["event"])
            if message["type"] == "broken":
                return Failed(error=message["error"], traceback=str(message.get("traceback", "")))

    def close(self, timeout: float) -> None:
        """Ask it to end, wait, kill, and leave no zombie and no open pipe."""
        self.send({"type": "close"})
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(2.0)
        with self._sending:
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                try:
                    if pipe is not None:
                        pipe.close()
                except OSError:
                    log.debug("the worker's pipe was broken already")
        self._board.close()

    def _cut(self, extension: str, hook: str, seconds: float) -> Failed:
        """End the process because of an extension that does not come back, and say whose fault it was."""
        # SIGABRT: the interpreter writes down where each of its threads is, even when it is stuck itself.
        self._process.send_signal(getattr(signal, "SIGABRT", signal.SIGTERM))
        try:
            self._process.wait(_ABORT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._threads[1].join(1.0)
        error = ExtensionError(
            "error.extension.hung", extension=extension, hook=hook, seconds=round(seconds)
        )
        return Failed(error=_plain(error), traceback="\n".join(self._tail))

    def _died(self) -> WorkerDied:
        returncode = self._process.wait()
        self._threads[1].join(1.0)
        self._messages.put(None)  # whoever asks again hears the same
        return WorkerDied(returncode, "\n".join(self._tail))

    def _listen(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            try:
                message = json.loads(line)
                kind = message["type"]
            except (ValueError, KeyError, TypeError):
                log.error("the worker sent what is no message: %r", line[:200])
                self._process.kill()  # nothing that follows can be trusted
                break
            if kind == "warm":
                self.warm = True
            else:
                self._messages.put(message)
        self._messages.put(None)

    def _log(self, pipe: IO[bytes], file: Path) -> None:
        handler = _log_handler(file)
        try:
            for line in pipe:
                text = line.decode("utf-8", "replace").rstrip()
                self._tail.append(text)
                (log if self.job_id is None else JobLog(log, self.job_id)).info("%s", text)
                stamp = time.strftime("%Y-%m-%d %H:%M:%S")
                handler.emit(
                    logging.LogRecord(
                        "worker", logging.INFO, "", 0, f"{stamp} [{self.pid}] {text}", None, None
                    )
                )
        finally:
            handler.close()


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the worker: no network, no remote code, no secrets, no telemetry."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_SCRUBBED)}
    return {**kept, **_OFFLINE}


def harden(environ: MutableMapping[str, str] = os.environ) -> None:
    """Give this process the worker's environment, where it makes pictures itself; before torch is imported."""
    for name in [name for name in environ if name.startswith(_SCRUBBED)]:
        del environ[name]
    environ.update(_OFFLINE)


def _log_handler(file: Path) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(
            file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
        )
    except OSError as error:
        log.warning("no log of the worker: %s", error)
        return logging.NullHandler()


def _may_stop(event: Event) -> bool:
    if isinstance(event, StageChanged):
        return event.stage not in (Stage.FINISHING, Stage.SAVING)
    return isinstance(event, StepDone)


def _in_a_batch(event: Event) -> bool:
    loading = isinstance(event, StageChanged) and event.stage is Stage.LOADING
    return _may_stop(event) and not loading


def _words(error: Exception) -> UserError:
    text = str(error)
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if memory or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return UserError("error.memory")
    if isinstance(error, RecursionError):
        return UserError("error.internal", what="RecursionError")
    return UserError("error.internal", what=f"{type(error).__name__}: {text[:300]}")


def _plain(error: UserError) -> dict[str, Any]:
    return error.to_dict()


def _cause(error: UserError) -> str:
    return "" if error.__cause__ is None else "".join(traceback.format_exception(error.__cause__))
