"""Who is let in: the owner's key, the guests' password, invitations, tokens, sessions, and the wait after wrong ones.

Secrets that are typed or made for one run stay in memory, as digests under a key of that run; tokens that outlast it
are kept by `modules.services.passes` as digests in a file.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from modules.errors import UserError
from modules.services.access import Exposure, Identity, Role
from modules.services.passes import Passes, is_token

LEAST_PASSWORD = 8
SESSION_SECONDS = 7 * 86_400
_FREE_FAILURES = 5
_LONGEST_WAIT = 300.0
_SOURCES = 4096
_SESSIONS = 10_000
_MOST_SECRET = 1024


class WrongSecretError(UserError):
    """No such password, key or token."""


class LockedOutError(UserError):
    """Too many wrong ones from there; `seconds` is how long to wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__("error.door.locked", seconds=seconds)
        self.seconds = seconds


@dataclass(frozen=True)
class _Session:
    identity: Identity
    ends: float
    invited: bytes
    """Digest of the invitation that opened it; empty for a password."""


@dataclass(frozen=True)
class _Failures:
    count: int
    until: float


class Door:
    """Checks secrets in constant time. Safe to use from several threads.

    While nobody else can reach the server there is nothing to check, and nothing is let in either: who sits at this
    machine is the owner without a key (`modules.api.gate`).

    Args:
        password: the guests'; where it is missing and one is needed, one is made (`made`).

    Raises:
        UserError: the password is too short to keep anybody out.
    """

    def __init__(
        self,
        exposure: Exposure,
        *,
        password: str | None = None,
        passes: Passes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if password is not None and len(password) < LEAST_PASSWORD:
            raise UserError("error.door.short", least=LEAST_PASSWORD, found=len(password))
        self.exposure = exposure
        self.made = password is None
        """Whether the password was made here, and so has to be told."""
        self.password = password or _readable_secret()
        self.owner_key = secrets.token_urlsafe(24)
        self._passes = passes
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, Identity] = {
            self._digest(self.owner_key): Identity(Role.OWNER, "owner", by_session=True),
            self._digest(self.password): Identity(Role.GUEST, by_session=True),
        }
        self._invitation = b""
        self._invitation_ends = 0.0
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------------------------- coming in

    def enter(self, secret: str, source: str) -> tuple[str, Identity, float]:
        """Begin a session with a password, key, token or invitation: the cookie's value, who it is, seconds it lasts.

        `source` is where the attempt comes from: wrong ones make that source wait.

        Raises:
            LockedOutError: too many wrong ones came from there; a password is not told right or wrong then.
            WrongSecretError: this is none.
        """
        now = self._clock()
        with self._lock:
            identity = self._check(secret, source, now)
            digest = self._digest(secret)
            invited = self._invitation and hmac.compare_digest(digest, self._invitation)
            ends = min(now + SESSION_SECONDS, self._invitation_ends if invited else float("inf"))
            cookie = secrets.token_urlsafe(32)
            name = identity.name or f"session-{secrets.token_hex(8)}"
            found = Identity(identity.role, name, by_session=True)
            kept = _Session(found, ends, digest if invited else b"")
            self._sessions[self._digest(cookie)] = kept
            while len(self._sessions) > _SESSIONS:
                self._sessions.popitem(last=False)
            return cookie, found, ends - now

    def session(self, cookie: str) -> Identity | None:
        """Whose session that is; None where there is none (any more)."""
        digest = self._digest(cookie)
        with self._lock:
            found = self._sessions.get(digest)
            if found is None:
                return None
            name = found.identity.name
            removed = is_token(name) and not (self._passes and self._passes.holds(name))
            if removed or found.ends <= self._clock():
                del self._sessions[digest]
                return None
            return found.identity

    def bearer(self, secret: str, source: str, user: str = "") -> Identity:
        """Who calls with a secret in each request: a token, the password or the owner's key.

        Callers with the password are told apart by `user`, the name that they give; without one they are one.

        Raises:
            LockedOutError: too many wrong ones came from there; a password is not told right or wrong then.
            WrongSecretError: this is none.
        """
        with self._lock:
            found = self._check(secret, source, self._clock())
        name = found.name or f"caller-{self._digest(user).hex()[:24]}"
        return Identity(found.role, name)

    def leave(self, cookie: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(self._digest(cookie), None)

    # ------------------------------------------------------------------------------------------- invitations

    def invite(self, seconds: float) -> str:
        """A secret for a link, good for so long; an earlier one stops being good."""
        invitation = secrets.token_urlsafe(24)
        with self._lock:
            self._invitation = self._digest(invitation)
            self._invitation_ends = self._clock() + seconds
        return invitation

    def uninvite(self) -> None:
        """The link opens nothing any more, and whoever came by it is out."""
        with self._lock:
            gone = [key for key, each in self._sessions.items() if each.invited]
            for key in gone:
                del self._sessions[key]
            self._invitation, self._invitation_ends = b"", 0.0

    # ------------------------------------------------------------------------------------------- inside

    def _digest(self, secret: str) -> bytes:
        return hmac.new(self._key, secret.encode("utf-8", "replace"), hashlib.sha256).digest()

    def _check(self, secret: str, source: str, now: float) -> Identity:
        """Caller holds the lock."""
        wait = self._failures.get(source)
        found = self._find(secret, now) if 0 < len(secret) <= _MOST_SECRET else None
        # What was made at random cannot be guessed, so whoever has it need not wait for somebody else's mistakes.
        certain = found is not None and not self._is_password(secret)
        if not certain and wait is not None and wait.until > now:
            raise LockedOutError(max(1, int(wait.until - now + 0.999)))
        if found is None:
            self._failed(source, now)
            raise WrongSecretError("error.door.wrong")
        if not certain:
            self._failures.pop(source, None)
        return found

    def _find(self, secret: str, now: float) -> Identity | None:
        digest = self._digest(secret)
        found: Identity | None = None
        # All are compared, whichever fits: how long it takes says nothing.
        for known, identity in self._known.items():
            if hmac.compare_digest(known, digest):
                found = identity
        if self._invitation and hmac.compare_digest(self._invitation, digest):
            found = Identity(Role.GUEST, by_session=True) if now < self._invitation_ends else None
        if found is None and self._passes is not None:
            found = self._passes.find(secret)
        return found

    def _is_password(self, secret: str) -> bool:
        return hmac.compare_digest(self._digest(self.password), self._digest(secret))

    def _failed(self, source: str, now: float) -> None:
        before = self._failures.pop(source, _Failures(0, 0.0))
        count = before.count + 1
        over = count - _FREE_FAILURES
        until = now + min(_LONGEST_WAIT, 2.0 ** min(over, 20)) if over >= 0 else 0.0
        self._failures[source] = _Failures(count, until)
        while len(self._failures) > _SOURCES:
            self._failures.popitem(last=False)


_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without those that look alike: it is read from a screen and typed on a phone."""


def _readable_secret() -> str:
    """Four groups of four: 80 bits, against which no guessing over a network helps."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
