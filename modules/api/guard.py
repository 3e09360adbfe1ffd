"""The outermost layer: nothing behind it sees a request that came from another web site or under a foreign name.

A page in the same browser can send requests to localhost, and a foreign domain can be made to point at it (DNS
rebinding). Gradio's own check withholds headers but carries the request out; this one refuses it.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

from modules.errors import UserError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::", "")
_SHUT = (
    "/monitoring",
    "/gradio_api/monitoring",
    "/gradio_api/runs",
    "/gradio_api/deep_link",
    "/gradio_api/vibe",
    "/gradio_api/dev",
    "/gradio_api/proxy",
    "/dev",
    "/svelte",
)
"""Gradio's side doors that this page does not use."""

# Gradio starts itself with inline scripts and compiles handlers in the browser, so both have to be allowed; what
# still holds is that nothing is loaded from, sent to or shown by another host.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"geolocation=(), microphone=(), camera=(), payment=(), usb=()"),
)


class Guard:
    """Checks Host, Origin and size, shuts Gradio's side doors and adds the security headers."""

    def __init__(
        self, app: ASGI, *, host: str, port: int, max_body: int, names: Iterable[str] = ()
    ) -> None:
        """`host` and `port` are what the server listens on; `names` are further host names that lead to it."""
        self._app = app
        self._anywhere = host in _EVERYWHERE
        self._names = {name.lower() for name in (*_LOCAL, host, *names) if name}
        if self._anywhere:
            own = socket.gethostname().lower()
            self._names |= {own, f"{own}.local"}
        self._shown = ("localhost" if self._anywhere else host) + (f":{port}" if port else "")
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {key.lower(): value for key, value in scope.get("headers", ())}
        refused = self._refusal(scope, headers)
        if refused is not None:
            await _refuse(scope, receive, send, *refused)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, UserError] | None:
        hosts = [value for key, value in scope.get("headers", ()) if key.lower() == b"host"]
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        if not self._is_ours(host):
            return 421, UserError("error.api.host", found=host[:80], expected=self._shown)
        path = unquote(scope.get("path", "")).replace("\\", "/").lower()
        if _is_shut(path):
            return 404, UserError("error.api.not_found")
        origin = headers.get(b"origin")
        site = headers.get(b"sec-fetch-site", b"none")
        if scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS:
            foreign = (
                not _same_origin(origin, host) if origin is not None else site not in _OWN_SITES
            )
        else:
            # A link from elsewhere may open the page; no foreign page may read or embed anything.
            navigates = headers.get(b"sec-fetch-mode") == b"navigate"
            foreign = site == b"cross-site" and not navigates
        if foreign:
            found = (origin or site).decode("latin-1")[:80]
            return 403, UserError("error.api.origin", found=found)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            return 413, self._too_large()
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower().rstrip(".")
        except ValueError:
            return False
        if name in self._names:
            return True
        # DNS rebinding needs a name; somebody in the same network who types the address has none.
        return self._anywhere and _is_address(name)

    def _too_large(self) -> UserError:
        return UserError("error.api.too_large", most=self._max_body // 2**20)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0
        started = False

        def too_large() -> bool:
            return seen > self._max_body and not started

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._max_body:
                    return {"type": "http.disconnect"}
            return message

        async def dressed(message: Message) -> None:
            nonlocal started
            if too_large():
                return  # whatever the app makes of the disconnection, the answer below is the right one
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _with_ours(message.get("headers", ()))}
            await send(message)

        try:
            await self._app(scope, counted, dressed)
        except Exception:
            if not too_large():
                raise
        if too_large():
            await _refuse(scope, receive, send, 413, self._too_large())


_OWN_SITES = (b"same-origin", b"none")


def _is_shut(path: str) -> bool:
    if any(path == door or path.startswith((f"{door}/", f"{door}-", f"{door}=")) for door in _SHUT):
        return True
    # Gradio fetches what it is given here: a relay into the local network for anyone.
    return any(
        path.startswith(f"{prefix}file{mark}{scheme}")
        for prefix in ("/", "/gradio_api/")
        for mark in ("=", "/")
        for scheme in ("http", "//", "ftp", "data:", "\\\\")
    )


def _same_origin(origin: bytes, host: str) -> bool:
    # Scheme apart: behind a proxy that speaks TLS we cannot know it, and the host with its port decides.
    parts = urlsplit(origin.decode("latin-1").lower())
    return parts.scheme in ("http", "https") and parts.netloc == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Our headers, except where the answer itself is stricter (the file routes set a policy of their own)."""
    given = list(headers)
    names = {key.lower() for key, _ in given}
    return given + [(key, value) for key, value in _HEADERS if key not in names]


async def _refuse(
    scope: Scope, receive: Receive, send: Send, status: int, error: UserError
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    body = error.message().encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *_HEADERS,
    ]
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body is not wanted
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
