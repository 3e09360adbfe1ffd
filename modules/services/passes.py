"""Tokens that outlast a run: `data/tokens.json` holds their digests, names, roles and ends; `noisette token` makes them."""

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from modules.errors import UserError, reason
from modules.services.access import Identity, Role
from modules.services.disk import Disk, storage_errors, write_whole

_NAME = re.compile(r"[\w.-]{1,40}")
_IDENTITY = "token-"
_PREFIX = "noisette_"
"""So that a token that got into the wrong place is recognised as one."""


@dataclass(frozen=True)
class Pass:
    """One token; `digest` is the SHA-256 of 256 random bits, which cannot be guessed back."""

    name: str
    owner: bool
    digest: str
    created: float
    ends: float | None = None


class Passes:
    """The file of tokens. A change by the command line acts in a running server at once."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._kept: tuple[Pass, ...] = ()

    def all(self) -> Sequence[Pass]:
        """Every token there is, ended ones too.

        Raises:
            UserError: the file cannot be read.
        """
        with self._lock:
            return self._fresh()

    def add(self, name: str, *, owner: bool = False, days: float | None = None) -> str:
        """A new token, told this once.

        Raises:
            UserError: the name is taken or is none.
            StorageError: the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise UserError("error.token.name", found=name[:60])
        secret = _PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        ends = None if days is None else now + days * 86_400
        with self._lock:
            kept = self._fresh()
            if any(each.name == name for each in kept):
                raise UserError("error.token.taken", name=name)
            self._write((*kept, Pass(name, owner, _digest(secret), now, ends)))
        return secret

    def remove(self, name: str) -> None:
        """The token of that name is good for nothing any more.

        Raises:
            UserError: there is none.
            StorageError: the file cannot be written.
        """
        with self._lock:
            kept = self._fresh()
            left = tuple(each for each in kept if each.name != name)
            if len(left) == len(kept):
                names = ", ".join(each.name for each in kept) or "-"
                raise UserError("error.token.unknown", name=name[:60], names=names)
            self._write(left)

    def find(self, secret: str) -> Identity | None:
        """Whose token that is; None where it is none, or has ended.

        Raises:
            UserError: the file cannot be read.
        """
        if not secret.startswith(_PREFIX):
            return None
        digest = _digest(secret)
        found: Identity | None = None
        for each in self.all():
            same = secrets.compare_digest(each.digest, digest)
            if same and (each.ends is None or each.ends > self._clock()):
                role = Role.OWNER if each.owner else Role.GUEST
                found = Identity(role, f"{_IDENTITY}{each.name}")
        return found

    def holds(self, name: str) -> bool:
        """Whether the token that an `Identity` of that name came from is still good."""
        now = self._clock()
        return any(
            f"{_IDENTITY}{each.name}" == name and (each.ends is None or each.ends > now)
            for each in self.all()
        )

    def _fresh(self) -> tuple[Pass, ...]:
        try:
            facts = self._file.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise UserError("error.token.file", path=self._file, why=reason(error)) from error
        stamp = (facts.st_mtime_ns, facts.st_size)
        if stamp != self._read_at:
            self._kept = self._read()
            self._read_at = stamp
        return self._kept

    def _read(self) -> tuple[Pass, ...]:
        try:
            rows = json.loads(self._file.read_text(encoding="utf-8"))
            return tuple(Pass(**row) for row in rows)
        except OSError as error:
            raise UserError("error.token.file", path=self._file, why=reason(error)) from error
        except (ValueError, TypeError) as error:
            why = UserError("why.tokens")
            raise UserError("error.token.file", path=self._file, why=why) from error

    def _write(self, kept: tuple[Pass, ...]) -> None:
        data = json.dumps([asdict(each) for each in kept], ensure_ascii=False, indent=1).encode()
        with storage_errors(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, data, Disk())
            self._file.chmod(0o600)
        self._read_at = None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def is_token(name: str) -> bool:
    """Whether an `Identity` of that name came by a token."""
    return name.startswith(_IDENTITY)
