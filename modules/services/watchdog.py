"""Notices an extension that does not come back in the worker's process."""

import time
from collections.abc import Callable

from modules.plugins.inside import Board, Where

CANCEL_SECONDS = 10.0
"""So long after somebody asked the job to stop, an extension that has not come back is not waited for any longer."""


class Watchdog:
    """Looks at the board again and again; each call of an extension has `seconds`.

    An extension that has much to do lets the core call between its pieces of work, which begins a new count.
    """

    def __init__(
        self, board: Board, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._board = board
        self._seconds = seconds
        self._clock = clock
        self._call: int | None = None
        self._since = 0.0

    def stuck(self, *, asked_to_stop: bool = False) -> tuple[Where, float] | None:
        """The call that took too long and what it took in seconds, or None."""
        now = self._clock()
        where = self._board.read()
        if where is None or where.call != self._call:
            self._call, self._since = where.call if where else None, now
            return None
        took = now - self._since
        patience = min(CANCEL_SECONDS, self._seconds) if asked_to_stop else self._seconds
        return (where, took) if took >= patience else None
