"""A call that may take so long and no longer."""

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Hung(Exception):
    """The call was given up; `stack` says where it was."""

    def __init__(self, seconds: float, stack: str) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds
        self.stack = stack


class _Cut(BaseException):
    """Raised inside the thread that was given up; not an Exception, so that the code there does not take it for one."""


def limited(call: Callable[[], Result], seconds: float) -> Result:
    """What `call` returns or raises, done in a thread of its own.

    A thread that is given up is cut at its next line of Python; one that waits in the system stays and does nothing.

    Raises:
        Hung: it took longer than `seconds`.
    """
    running = _Running(call)
    running.start()
    running.join(seconds)
    return running.take(seconds)


class _Running(threading.Thread, Generic[Result]):
    def __init__(self, call: Callable[[], Result]) -> None:
        super().__init__(name="extension", daemon=True)
        self._call = call
        self._lock = threading.Lock()
        self._given_up = False
        self._done = False
        self._error: BaseException | None = None
        self._result: list[Result] = []

    def run(self) -> None:
        try:
            result = self._call()
        except _Cut:
            return
        except BaseException as error:  # noqa: BLE001  # raised again where it was asked for
            self._end(error=error)
        else:
            self._end(result=[result])

    def take(self, seconds: float) -> Result:
        with self._lock:
            if not self._done:
                self._given_up = True
                frame = sys._current_frames().get(self.ident or 0)
                stack = "".join(traceback.format_stack(frame)) if frame else ""
                thread = ctypes.c_ulong(self.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_Cut))
                raise Hung(seconds, stack)
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _end(
        self, *, error: BaseException | None = None, result: list[Result] | None = None
    ) -> None:
        with self._lock:
            if not self._given_up:
                self._error, self._result, self._done = error, result or [], True
