"""The public link: opened through a tunnel, ended by the clock or by the owner, and what has become of it."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlsplit

from modules.errors import UserError
from modules.services.door import Door
from modules.services.reach import Reach
from modules.services.tunnel import Tunnel

log = logging.getLogger(__name__)


class ShareState(StrEnum):
    """Where the link is in its life; the last four are its ends."""

    OPENING = "opening"
    OPEN = "open"
    FAILED = "failed"
    STOPPED = "stopped"
    EXPIRED = "expired"
    LOST = "lost"


@dataclass(frozen=True)
class Share:
    """The link as it is now. `link` holds the invitation and is for the owner's eyes; `ends` is a moment."""

    state: ShareState
    address: str = ""
    link: str = ""
    ends: float = 0.0
    why: UserError | None = None


class Sharing:
    """Opens the link once and keeps watch over it. Safe to use from several threads.

    Args:
        hours: after so many the tunnel is taken down and whoever came by the link is out.
        told: called, in a thread of its own, with each new state.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        door: Door,
        reach: Reach,
        *,
        hours: float,
        told: Callable[[Share], None] = lambda share: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tunnel = tunnel
        self._door = door
        self._reach = reach
        self._seconds = hours * 3600
        self._told = told
        self._clock = clock
        self._now = Share(ShareState.OPENING)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @property
    def now(self) -> Share:
        """What has become of it so far."""
        return self._now

    def start(self, port: int) -> None:
        """Begin to open it, in the background; nothing waits for it, and nothing fails if it cannot be had."""
        threading.Thread(target=self._run, args=(port,), name="share", daemon=True).start()

    def stop(self) -> Share:
        """The owner ends it: the tunnel is down and the link good for nothing when this returns."""
        return self._end(ShareState.STOPPED)

    def close(self) -> None:
        """The program ends."""
        self._end(ShareState.STOPPED, quiet=True)

    def _run(self, port: int) -> None:
        try:
            address = self._tunnel.open(port)
        except UserError as error:
            log.info("no public link: %s", error)
            self._end(ShareState.FAILED, error)
            return
        name = urlsplit(address).hostname or ""
        with self._lock:
            if self._now.state is not ShareState.OPENING:  # stopped meanwhile
                return
            self._reach.add(name)
            link = f"{address}/login#{self._door.invite(self._seconds)}"
            self._now = Share(ShareState.OPEN, address, link, self._clock() + self._seconds)
            self._timer = threading.Timer(self._seconds, self._end, (ShareState.EXPIRED,))
            self._timer.daemon = True
            self._timer.start()
            opened = self._now
        self._told(opened)
        self._tunnel.wait()
        self._end(ShareState.LOST)

    def _end(
        self, state: ShareState, why: UserError | None = None, *, quiet: bool = False
    ) -> Share:
        with self._lock:
            if self._now.state not in (ShareState.OPENING, ShareState.OPEN):
                return self._now
            if self._now.address:
                self._reach.remove(urlsplit(self._now.address).hostname or "")
            self._door.uninvite()
            self._now = replace(self._now, state=state, link="", why=why)
            ended = self._now
            if self._timer is not None:
                self._timer.cancel()
        self._tunnel.close()
        if not quiet:
            self._told(ended)
        return ended
