"""The process that works: what it is told, what it tells, its log, and its end."""

import json
import logging
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from modules.errors import ExtensionError
from modules.plugins.inside import Board
from modules.schema import Event, Failed, event_from_dict
from modules.services.journal import JobLog
from modules.services.performing import failed
from modules.services.watchdog import Watchdog
from modules.settings import PROJECT, Settings

log = logging.getLogger(__name__)

LOG_BYTES = 2_000_000
LOG_FILES = 3
_TAIL_LINES = 60
_LOOK_SECONDS = 0.5
_ABORT_SECONDS = 3.0


class WorkerDied(Exception):  # it is what happened; the dispatcher deals with it
    """The process that ran a job is gone; `tail` is the last that it wrote to its log."""

    def __init__(self, returncode: int | None, tail: str = "") -> None:
        super().__init__(returncode)
        self.returncode = returncode
        self.tail = tail


class Child:
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
        return failed(error, lines="\n".join(self._tail))

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


def _log_handler(file: Path) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(
            file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
        )
    except OSError as error:
        log.warning("no log of the worker: %s", error)
        return logging.NullHandler()
