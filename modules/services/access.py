"""Who may do what: the roles, how far the server can be reached, and who a request was found to come from.

The outermost layer of the web application (`modules.api.gate`) finds out who asks and writes it into the request;
everything behind it, Gradio's functions too, reads it here.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from urllib.parse import urlsplit

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
PASSED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers that a proxy adds: who asks is then not whoever is connected."""
GUEST_PREFIX = "guest:"
"""How the clients begin under which guests' jobs are kept."""

_SCOPE = "noisette.identity"


class Role(IntEnum):
    """What somebody is; a larger one may do everything that a smaller one may."""

    ANYBODY = 0
    """Has shown nothing yet."""
    GUEST = 1
    """Makes pictures and sees his own."""
    OWNER = 2
    """Everything, but for what only the person at this machine may do."""


@dataclass(frozen=True)
class Identity:
    """Who asks; `name` tells guests apart that send no cookie, `by_session` says that he can log out."""

    role: Role
    name: str = ""
    by_session: bool = False


@dataclass(frozen=True)
class Exposure:
    """How far the server that is running can be reached; made once, from what it was started with."""

    host: str = "127.0.0.1"
    """The address that it listens on."""
    shared: bool = False
    """A tunnel leads here: its visitors come from this machine's own address too."""
    names: tuple[str, ...] = ()
    """Further host names that lead here, through a proxy of the owner's."""

    @property
    def beyond_this_machine(self) -> bool:
        """Whether anybody else could be talking to it."""
        return self.shared or bool(self.names) or self.host not in LOCAL_NAMES


def put_identity(scope: Any, identity: Identity) -> None:
    """Write down who asks, for everything behind."""
    scope[_SCOPE] = identity


def identity_of(request: Any) -> Identity | None:
    """Who was found to ask; None where no gate stands in front. `request` is Starlette's or Gradio's."""
    inner = getattr(request, "request", None) or request
    return identity_in(getattr(inner, "scope", None))


def identity_in(scope: object) -> Identity | None:
    """The same, of a request's ASGI scope."""
    found = scope.get(_SCOPE) if isinstance(scope, Mapping) else None
    return found if isinstance(found, Identity) else None


def is_guest(request: Any) -> bool:
    """Whether a guest asks, or somebody who is less."""
    identity = identity_of(request)
    return identity is not None and identity.role < Role.OWNER


def on_this_machine(request: Any) -> bool:
    """Whether who asks seems to sit at this machine; `request` is Starlette's or Gradio's. A guest never does."""
    if is_guest(request):
        return False
    # A proxy on this machine speaks for strangers: what one adds to a request, and the name asked for, tell it.
    headers = request.headers
    if request.client is None or any(name in headers for name in PASSED_ON):
        return False
    try:
        asked = urlsplit(f"//{headers.get('host', '')}").hostname
        return asked in LOCAL_NAMES and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def may_administer(exposure: Exposure, request: Any) -> bool:
    """Whether this request may install, change or remove code: never once the server can be reached from elsewhere.

    An address proves nothing then, as a tunnel or a proxy on this machine has this machine's; the command line stays.
    """
    return not exposure.beyond_this_machine and on_this_machine(request)


def is_owner(exposure: Exposure, request: Any) -> bool:
    """Whether the owner asks: with the owner's key, or at this machine while nobody else can reach it."""
    identity = identity_of(request)
    if identity is not None and exposure.beyond_this_machine:
        return identity.role is Role.OWNER
    return may_administer(exposure, request)
