"""The body of one request on its way in: how large it may become, how slowly it may come, and what all guests' may take.

Only the time is counted that is spent waiting for the sender; a slow disk of ours is not his.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from modules.services.access import Role

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


@dataclass(frozen=True)
class Pace:
    """How slowly a body may come: `grace` seconds, and for each `rate` bytes that are there one more."""

    grace: float = math.inf
    rate: float = 1.0
    silent: float = math.inf
    """Seconds in which nothing comes at all."""

    def left(self, waited: float, seen: int) -> float | None:
        """How long may be waited for the next piece; None for ever."""
        left = min(self.silent, self.grace + seen / self.rate - waited)
        return None if left == math.inf else max(0.0, left)


@dataclass(frozen=True)
class Paces:
    """By who sends."""

    anybody: Pace = Pace(grace=10.0, rate=10_000.0)
    guest: Pace = Pace(grace=60.0, rate=10_000.0)
    owner: Pace = Pace(silent=300.0)

    def of(self, role: Role) -> Pace:
        """Of one of that role."""
        match role:
            case Role.OWNER:
                return self.owner
            case Role.GUEST:
                return self.guest
        return self.anybody


class Pool:
    """How many bytes of guests' requests are in memory at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def take(self, count: int) -> bool:
        """Whether there was room for so many more."""
        if self.taken + count > self.most:
            return False
        self.taken += count
        return True

    def give(self, count: int) -> None:
        """They are not needed any more."""
        self.taken -= count


class Body:
    """Stands between the server and the application; once it is `refused`, the application hears that the sender left."""

    def __init__(self, receive: Receive, most: int, pace: Pace, pool: Pool | None) -> None:
        """`most`: bytes; `pool`: where what is in memory counts."""
        self.refused: int | None = None
        """The status to answer."""
        self.whole = False
        self._receive = receive
        self._most = most
        self._pace = pace
        self._pool = pool
        self._seen = self._held = 0
        self._waited = 0.0

    async def __call__(self) -> Message:
        """The next message, as the application asks for it."""
        if self.refused:
            return {"type": "http.disconnect"}
        if self.whole:  # what is awaited now is that the sender hangs up
            return await self._receive()
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            async with asyncio.timeout(self._pace.left(self._waited, self._seen)):
                message = await self._receive()
        except TimeoutError:
            return self._refuse(408)
        self._waited += clock() - since
        self.whole = not message.get("more_body", False)
        count = len(message.get("body", b""))
        self._seen += count
        if self._seen > self._most:
            return self._refuse(413)
        if self._pool is not None:
            if not self._pool.take(count):
                return self._refuse(503)
            self._held += count
        return message

    def close(self) -> None:
        """The request is over."""
        if self._pool is not None:
            self._pool.give(self._held)
            self._held = 0

    def _refuse(self, status: int) -> Message:
        self.refused = status
        return {"type": "http.disconnect"}
