"""Connections that hold the server up without asking for anything are ended, so that others find it free.

uvicorn waits for ever for the rest of a request's head, and for whoever never reads his answer. Each such connection
holds a file descriptor, of which a process has some hundreds, and the answer that waits to be fetched.
"""

import asyncio
import ipaddress
import logging
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

SPARE = 100
"""Files that the rest of the program has open: the queue, logs, models, pictures that are being sent."""
_WANTED = 2048
_TOLD_SECONDS = 60.0


@dataclass(frozen=True)
class Bounds:
    """How long is waited, and for how many; see docs/sharing.md."""

    head_seconds: float = 20.0
    """From the connection, or the end of the last answer, to the end of the next request's head."""
    stall_seconds: float = 60.0
    stall_bytes: int = 64 * 2**10
    """So much of a waiting answer must be fetched in so many seconds."""
    total: int = 1000
    of_one: int = 150
    """From one address, unless it is this machine's own: tunnels and proxies have that."""

    @classmethod
    def of_this_process(cls) -> "Bounds":
        """As many connections as there may be open files; more of those are asked for where the system has them."""
        files = _files()
        return cls(total=max(16, min(cls.total, files - SPARE)))


class Room:
    """Decides whether there is room for one more connection, and makes some where there is none."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._told_at = -math.inf

    def take(self, new: "Connection") -> bool:
        """Whether `new` may stay. Whoever has waited longest without asking for anything makes room."""
        others = [
            each
            for each in new.connections
            if isinstance(each, Connection) and each is not new and not each.transport.is_closing()
        ]
        address = new.client[0] if new.client else ""
        if not _is_here(address):
            own = [each for each in others if each.client and each.client[0] == address]
            if len(own) >= self.bounds.of_one:
                return self._one_goes(own, new)
        return len(others) < self.bounds.total or self._one_goes(others, new)

    def _one_goes(self, among: list["Connection"], new: "Connection") -> bool:
        idle = [each for each in among if each.waits_since is not None]
        if idle:
            min(idle, key=lambda each: each.waits_since or 0.0).transport.abort()
            return True
        now = new.loop.time()
        if now - self._told_at > _TOLD_SECONDS:
            self._told_at = now
            log.warning("all %d connections are at work; one more is turned away", len(among))
        return False


class Connection(H11Protocol):
    """uvicorn's, with an end to its patience. `look` is called about once a second."""

    def __init__(self, *args: Any, room: Room, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = room
        self._stuck: tuple[float, int] | None = None
        self.waits_since: float | None = self.loop.time()
        """Since when nothing is being answered; None while something is."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        if not self._room.take(self):
            transport.abort()

    def handle_events(self) -> None:
        """See uvicorn: what came in was taken apart."""
        super().handle_events()
        self._note()

    def on_response_complete(self) -> None:
        """See uvicorn: the answer is on its way, and the next request may have been begun."""
        super().on_response_complete()
        self._note()

    def resume_writing(self) -> None:
        """See asyncio: most of what waited was fetched."""
        self._stuck = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """End it if it has waited too long, for a request or for its answer to be fetched."""
        left = self.transport.get_write_buffer_size()
        bounds = self._room.bounds
        if not left:
            self._stuck = None
            if self.waits_since is not None and now - self.waits_since >= bounds.head_seconds:
                self.transport.abort()
            return
        if self.waits_since is not None:
            self.waits_since = now  # the answer is still being fetched: the next request is not due
        since, before = self._stuck = self._stuck or (now, left)
        if now - since >= bounds.stall_seconds:
            if before - left < bounds.stall_bytes:
                self.transport.abort()
            self._stuck = (now, left)

    def _note(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.waits_since = None
        elif self.waits_since is None:
            self.waits_since = self.loop.time()


class Server(uvicorn.Server):
    """uvicorn, which looks at its connections once a second, and says so when it begins to end."""

    def __init__(self, config: uvicorn.Config, on_end: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._on_end = on_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn: it waits for the answers that are under way, which must not wait for jobs by then."""
        if self._on_end is not None:
            self._on_end()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn: ten times a second."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for each in list(self.server_state.connections):
                if isinstance(each, Connection):
                    each.look(now)
        return await super().on_tick(counter)


@lru_cache(4096)
def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return True  # a socket of the system's own


def _files() -> int:
    """How many files this process may have open."""
    try:
        import resource
    except ImportError:  # Windows, which has no such bound
        return _WANTED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _WANTED
    if soft < _WANTED:
        most = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
        except (OSError, ValueError):  # a system that has a bound of its own
            return soft
    return soft
