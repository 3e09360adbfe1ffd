"""What outlives a start: which extensions are off and why, how often each failed in a row, where each came from.

One small JSON file. The page's process, the worker and the command line all read it; whoever changes it takes a
lock, so that none overwrites what another has just written. `stamp` tells cheaply whether somebody did.
"""

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

log = logging.getLogger(__name__)

MOST_FAILURES = 3
"""So many jobs in a row that an extension fails, and it is switched off."""


class Off(BaseModel):
    """Why an extension is off; `error` is `UserError.to_dict()` of what it did, unless a person switched it off."""

    model_config = ConfigDict(frozen=True)

    by: Literal["person", "failures", "start"] = "person"
    error: dict[str, JsonValue] | None = None


class Failures(BaseModel):
    """Jobs in a row that failed by the extension, and the last of their errors."""

    model_config = ConfigDict(frozen=True)

    count: int = 0
    error: dict[str, JsonValue]
    traceback: str = ""
    at: float = Field(description="seconds since the epoch")


class Origin(BaseModel):
    """Where the files of an installed extension came from."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["folder", "zip", "git"]
    source: str = Field(description="path or URL")
    commit: str = Field(default="", description="git only, in full")
    digest: str = Field(description="SHA-256 over names and contents of the files")
    version: str
    at: float = Field(description="seconds since the epoch")


class State(BaseModel):
    """The file as a value."""

    model_config = ConfigDict(frozen=True)

    off: dict[str, Off] = Field(default_factory=dict)
    failures: dict[str, Failures] = Field(default_factory=dict)
    origins: dict[str, Origin] = Field(default_factory=dict)


class Switches:
    """Reads and changes the file; without one (tests, `doctor`) it keeps the state in memory."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._memory = State()
        self._changes = 0
        self._lock = threading.RLock()

    @property
    def stamp(self) -> tuple[int, ...]:
        """Differs after each change, whoever made it."""
        if self._file is None:
            return (self._changes,)
        try:
            facts = self._file.stat()
        except OSError:
            return ()
        return (facts.st_mtime_ns, facts.st_size, facts.st_ino)

    def read(self) -> State:
        """The state now; a damaged file counts as empty, and is kept aside by the next change."""
        if self._file is None:
            return self._memory
        try:
            return State.model_validate(json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, ValidationError) as error:
            log.warning("%s cannot be read and counts as empty: %s", self._file, error)
            return State()

    def turn_off(self, name: str, off: Off) -> None:
        """Switch an extension off."""
        self._change(lambda state: _with(state, "off", name, off))

    def turn_on(self, name: str) -> None:
        """Switch an extension on again, with a clean slate."""
        self._change(lambda state: _with(_with(state, "off", name, None), "failures", name, None))

    def failed(self, name: str, error: dict[str, Any], traceback: str) -> bool:
        """Count a failure; True when it was one too many and the extension is off from now on."""

        def count(state: State) -> State:
            before = state.failures[name].count if name in state.failures else 0
            entry = Failures(
                count=before + 1, error=error, traceback=traceback[-20_000:], at=time.time()
            )
            state = _with(state, "failures", name, entry)
            if entry.count < MOST_FAILURES or name in state.off:
                return state
            return _with(state, "off", name, Off(by="failures", error=error))

        before, after = self._change(count)
        return name in after.off and name not in before.off

    def worked(self, name: str) -> None:
        """A job went through with it: what failed before counts no more."""
        known = self.read().failures.get(name)
        if known is not None and known.count:
            calm = known.model_copy(update={"count": 0})  # the last error stays to be read
            self._change(lambda state: _with(state, "failures", name, calm))

    def came_from(self, name: str, origin: Origin | None) -> None:
        """Write down where an extension's files came from; None when they are gone. Its faults are forgotten."""

        def change(state: State) -> State:
            return _with(_with(state, "origins", name, origin), "failures", name, None)

        self._change(change)

    def touch(self) -> None:
        """Let everybody look again: the extensions' files have changed."""
        self._change(lambda state: state)

    # ---------------------------------------------------------------------------------------- starting

    @contextmanager
    def starting(self, name: str, process: str) -> Iterator[None]:
        """Leave a mark while an extension is loaded: a process that dies or is killed there names it to the next."""
        mark = self._mark(process)
        if mark is None:
            yield
            return
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(json.dumps({"name": name, "pid": os.getpid()}), encoding="utf-8")
        except OSError as error:
            log.debug(
                "no mark for %s: %s", name, error
            )  # a full disk must not keep it from starting
        yield
        mark.unlink(missing_ok=True)  # not in a finally: what ends this process must leave the mark

    def did_not_start(self, process: str) -> str | None:
        """The extension at which the last process of this kind ended, told once."""
        mark = self._mark(process)
        try:
            found = json.loads(mark.read_text(encoding="utf-8")) if mark is not None else None
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict) or mark is None or _alive(found.get("pid")):
            return None
        mark.unlink(missing_ok=True)
        return str(found.get("name", ""))

    def _mark(self, process: str) -> Path | None:
        return self._file and self._file.with_name(f"{self._file.stem}-starting-{process}.json")

    def _change(self, change: Callable[[State], State]) -> tuple[State, State]:
        with self._lock:
            if self._file is None:
                before, self._memory = self._memory, change(self._memory)
                self._changes += 1
                return before, self._memory
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._file.with_suffix(".lock"), timeout=10):
                self._set_damaged_aside()
                before = self.read()
                after = change(before)
                part = self._file.with_name(f".{self._file.name}.{secrets.token_hex(4)}.part")
                part.write_text(after.model_dump_json(indent=1), encoding="utf-8")
                os.replace(part, self._file)
            return before, after

    def _set_damaged_aside(self) -> None:
        assert self._file is not None
        try:
            State.model_validate(json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return
        except (ValueError, ValidationError):
            os.replace(self._file, self._file.with_suffix(".damaged"))


def _with(state: State, part: str, name: str, value: BaseModel | None) -> State:
    entries = {key: each for key, each in getattr(state, part).items() if key != name}
    if value is not None:
        entries[name] = value
    return state.model_copy(update={part: entries})


def _alive(pid: Any) -> bool:
    """Another process that still runs may be loading it this very moment."""
    if not isinstance(pid, int) or pid == os.getpid():
        return False
    import psutil

    return bool(psutil.pid_exists(pid))
