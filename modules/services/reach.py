"""Under which host names the server is reached, which a tunnel adds to, and where a request comes from."""

import ipaddress
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from modules.services.access import LOCAL_NAMES

EVERYWHERE = ("0.0.0.0", "::", "")


class Reach:
    """The host names that lead here; a request under another one is answered with a refusal (DNS rebinding)."""

    def __init__(self, host: str, names: Iterable[str] = ()) -> None:
        """`host` is what the server listens on, `names` are further names that lead to it."""
        self._anywhere = host in EVERYWHERE
        self._names = {name.lower() for name in (*LOCAL_NAMES, host, *names) if name}
        if self._anywhere:
            own = socket.gethostname().lower()
            self._names |= {own, f"{own}.local"}
        self._passing: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        """A tunnel ends under that name."""
        with self._lock:
            self._passing |= {name.lower()}

    def remove(self, name: str) -> None:
        """It does not any more."""
        with self._lock:
            self._passing -= {name.lower()}

    def is_ours(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        name = host_name(host)
        if name in self._names or name in self._passing:
            return True
        # DNS rebinding needs a name; somebody in the same network who types the address has none.
        return self._anywhere and _address(name) is not None


def host_name(host: str) -> str:
    """The name in a `Host` header, without the port; "" for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises for what is no number, such as `127.0.0.1:80.evil.example`
        return (parts.hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def source_of(scope: Any, headers: Mapping[bytes, bytes]) -> str:
    """Where a request comes from, to tell those apart that try passwords. It decides about nothing else.

    Behind a tunnel everybody has this machine's address; what the tunnel's end added last to `X-Forwarded-For` is then
    the best that is known, and whoever is connected directly cannot choose it.
    """
    client = scope.get("client")
    peer = client[0] if client else ""
    address = _address(peer)
    if address is not None and address.is_loopback:
        last = headers.get(b"x-forwarded-for", b"").decode("latin-1").rpartition(",")[2].strip()
        if _address(last) is not None:
            return f"beyond {last}"
    return str(peer)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
