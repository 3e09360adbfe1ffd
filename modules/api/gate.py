"""Who asks, and whether he may: the part of the outermost layer that knows people. `modules.api.guard` calls it.

It reads the session's cookie, `Authorization: Bearer` and HTTP Basic, looks the address up in `modules.api.rules`, and
keeps guests from asking too often. What it finds is written into the request for everything behind it.
"""

import base64
import binascii
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import cookie_parser

from modules.api.rules import LARGE, rule_for
from modules.errors import UserError
from modules.services.access import LOCAL_NAMES, PASSED_ON, Identity, Role, put_identity
from modules.services.door import Door, LockedOutError, WrongSecretError
from modules.services.reach import host_name, source_of

SESSION_COOKIE = "noisette_session"
BURST, PER_SECOND = 600.0, 30.0
"""Requests of one guest: so many at once, and so many a second for long."""
_UNSAID = 65
_CALLERS = 4096
_NOBODY = Identity(Role.ANYBODY)
_OWNER = Identity(Role.OWNER, "owner")

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Refusal:
    """What is answered instead; `login` sends a browser to the login page."""

    status: int
    error: UserError
    headers: tuple[tuple[bytes, bytes], ...] = ()
    login: bool = False


@dataclass(frozen=True)
class Verdict:
    """Who asks, how much he may send along (`LARGE`: as much as the server takes), and why not, if not."""

    identity: Identity
    body: int
    refusal: Refusal | None = None
    name: str = ""
    """Tells those apart who are counted one by one."""


@dataclass
class _Allowances:
    """Buckets that fill up by themselves, one for each guest."""

    clock: Callable[[], float]
    burst: float
    per_second: float
    left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str, cost: int) -> int:
        """0, or the seconds after which it would be granted."""
        now = self.clock()
        with self.lock:
            left, at = self.left.pop(name, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.per_second)
            granted = left >= cost
            self.left[name] = (left - cost if granted else left, now)
            while len(self.left) > _CALLERS:
                self.left.popitem(last=False)
        return 0 if granted else max(1, int((cost - left) / self.per_second + 0.999))


class Gate:
    """Decides about each request before anything else has seen it."""

    def __init__(
        self,
        door: Door,
        *,
        megabytes_per_hour: int = 500,
        burst: float = BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`megabytes_per_hour` is what one guest may hand in, `burst` how often he may ask at once."""
        self._door = door
        self._requests = _Allowances(clock, burst, PER_SECOND)
        self._megabytes = _Allowances(clock, megabytes_per_hour, megabytes_per_hour / 3600)

    def judge(self, scope: Any, headers: Headers) -> Verdict:
        """The verdict; who asks is written into `scope`."""
        method = scope.get("method", "GET")
        path = scope.get("path", "")
        rule = rule_for(method, path)
        source = source_of(scope, headers)
        try:
            identity = self._who(headers, source)
        except LockedOutError as error:
            return Verdict(_NOBODY, 0, _too_often(error, error.seconds))
        except WrongSecretError as error:
            return Verdict(_NOBODY, 0, Refusal(401, error, _challenge(path)))
        except UserError as error:  # the file of tokens cannot be read: nobody comes in by guess
            return Verdict(_NOBODY, 0, Refusal(503, error))
        put_identity(scope, identity)
        if identity.role < rule.least:
            return Verdict(identity, 0, self._refusal(identity, path))
        if identity.role is Role.OWNER:
            return Verdict(identity, LARGE)
        name = identity.name or f"at {source}"
        wait = self._requests.take(name, rule.cost)
        if wait:
            return Verdict(
                identity, 0, _too_often(UserError("error.api.often", seconds=wait), wait)
            )
        if rule.body == LARGE and identity.role is Role.GUEST:
            wait = self._megabytes.take(name, _megabytes(headers))
            if wait:
                full = UserError("error.api.uploads", minutes=1 + wait // 60)
                return Verdict(identity, 0, _too_often(full, wait))
        return Verdict(identity, rule.body, name=name)

    def _who(self, headers: Headers, source: str) -> Identity:
        """Who asks.

        Raises:
            WrongSecretError, LockedOutError: as the door says.
        """
        if not self._door.exposure.beyond_this_machine and _is_direct(headers):
            return _OWNER
        cookie = _cookie(headers)
        if cookie:
            found = self._door.session(cookie)
            if found is not None:
                return found
        kind, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        match kind.lower():
            case "bearer":
                return self._door.bearer(given.strip(), source)
            case "basic":
                user, secret = _basic(given)
                return self._door.bearer(secret, source, user)
        return _NOBODY

    def _refusal(self, identity: Identity, path: str) -> Refusal:
        if identity.role is Role.ANYBODY:
            if not self._door.exposure.beyond_this_machine:
                return Refusal(401, UserError("error.api.proxy"))
            return Refusal(401, UserError("error.api.login"), _challenge(path), login=True)
        return Refusal(403, UserError("error.api.owner_only"))


def _is_direct(headers: Headers) -> bool:
    """Whether the request seems to come straight from a browser or program here, and not through somebody's proxy."""
    host = host_name(headers.get(b"host", b"").decode("latin-1"))
    return host in LOCAL_NAMES and not any(name.encode() in headers for name in PASSED_ON)


def _cookie(headers: Headers) -> str:
    return cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(SESSION_COOKIE, "")


def _basic(given: str) -> tuple[str, str]:
    try:
        decoded = base64.b64decode(given.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    user, _, secret = decoded.partition(":")
    return user, secret


def _megabytes(headers: Headers) -> int:
    length = headers.get(b"content-length", b"")
    # What does not say how long it is may be as long as anything.
    return 1 + int(length) // 2**20 if length.isdigit() and len(length) < 16 else _UNSAID


def _challenge(path: str) -> tuple[tuple[bytes, bytes], ...]:
    # A browser that hears "Basic" asks with a window of its own; only the clients of the old API are meant to.
    kind = b'Basic realm="Noisette", charset="UTF-8"' if path.startswith("/sdapi/") else b"Bearer"
    return ((b"www-authenticate", kind),)


def _too_often(error: UserError, seconds: int) -> Refusal:
    return Refusal(429, error, ((b"retry-after", str(seconds).encode()),))
