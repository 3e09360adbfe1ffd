"""Who may hold the server's threads: there are few for everything that waits for a disk or for rows, the page's too.

Work that waits for something else, or takes seconds of a processor, takes its threads from elsewhere, so that a page
is answered while dozens of such requests wait.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, from_thread, to_thread
from anyio.lowlevel import RunVar

Result = TypeVar("Result")

USUAL = 16
"""Requests that are worked on at once, the rest wait their turn: more threads only take the interpreter from one another."""
DECODING = 4
"""Pictures that are read at once; large ones are read one at a time anyway (`modules.services.inputs`)."""


class Aside:
    """Threads of their own for one kind of work; who comes when all are taken waits without one."""

    def __init__(self, count: int = DECODING) -> None:
        self._count = count
        self._limiters: RunVar[CapacityLimiter] = RunVar("aside")  # one for each event loop

    async def __call__(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises."""
        try:
            limiter = self._limiters.get()
        except LookupError:
            limiter = CapacityLimiter(self._count)
            self._limiters.set(limiter)
        return await to_thread.run_sync(work, limiter=limiter)


MOST_LENT = 200
"""Threads that wait; there are no more than these besides the usual ones."""


@contextmanager
def place_lent() -> Iterator[None]:
    """While the thread of a route waits, another may have its place among the server's threads.

    Of no effect in any other thread.
    """
    try:
        loop = from_thread.run_sync(_lend)
    except RuntimeError:  # not one of the server's threads
        yield
        return
    try:
        yield
    finally:
        # Not `from_thread`: it would wait for a loop that may be over by now.
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(_take_back)


def _lend() -> asyncio.AbstractEventLoop | None:
    limiter = to_thread.current_default_thread_limiter()
    if limiter.total_tokens >= USUAL + MOST_LENT:
        return None
    limiter.total_tokens += 1
    return asyncio.get_running_loop()


def _take_back() -> None:
    to_thread.current_default_thread_limiter().total_tokens -= 1
