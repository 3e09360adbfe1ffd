"""The outermost layer: nothing behind it sees a request that came from another web site or under a foreign name.

A page in the same browser can send requests to localhost, and a foreign domain can be made to point at it (DNS
rebinding). Gradio's own check withholds headers but carries the request out; this one refuses it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from modules.api.body import Body, Paces, Pool
from modules.api.crowd import Crowd
from modules.errors import UserError
from modules.services.access import Role
from modules.services.reach import EVERYWHERE, Reach
from modules.texts import LANGUAGES

if TYPE_CHECKING:
    from modules.api.gate import Gate, Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST = 255
"""Bytes of one part of a path: what file systems take, and asking them for more is an error of theirs."""
_REST, _REST_SECONDS = 128 * 2**20, 10.0
"""Of a body that is too large so much more is read, for so long: most clients look at the answer once all is sent."""
_REST_OF_STRANGERS = 2**20
"""Of one who has not logged in."""
_IN_MEMORY = 512 * 2**20
"""Bytes of guests' requests that are being received or worked on."""
_CLOSE = (b"connection", b"close")
"""Nobody knows where the body ends."""
_JSON = (b"content-type", b"application/json")
_LATER = (_JSON, (b"retry-after", b"5"))
_WHY: Mapping[int, str] = {408: "error.api.slow", 503: "error.api.full"}
_SHUT = (
    "/monitoring",
    "/gradio_api/monitoring",
    "/gradio_api/call/v2",
    "/gradio_api/runs",
    "/gradio_api/deep_link",
    "/gradio_api/vibe",
    "/gradio_api/dev",
    "/gradio_api/proxy",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
    "/upload",
    "/upload_progress",
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
    """Checks Host, Origin, who asks and size, shuts Gradio's side doors and adds the security headers."""

    def __init__(
        self,
        app: ASGI,
        *,
        host: str,
        port: int,
        max_body: int,
        names: Iterable[str] = (),
        reach: Reach | None = None,
        gate: "Gate | None" = None,
        paces: Paces | None = None,
        crowd: Crowd | None = None,
        in_memory: int = _IN_MEMORY,
    ) -> None:
        """`host` and `port` are what the server listens on; `names` are further host names that lead to it.

        Args:
            reach: the names, where they change while it runs.
            gate: says who may do what; without one nobody is asked.
            paces: how slowly bodies may come.
            crowd: how many are answered at once.
            in_memory: bytes of guests' bodies at once.
        """
        self._app = app
        self._reach = reach or Reach(host, names)
        self._gate = gate
        self._shown = ("localhost" if host in EVERYWHERE else host) + (f":{port}" if port else "")
        self._max_body = max_body
        self._paces = paces or Paces()
        self._crowd = crowd or Crowd()
        self._pool = Pool(in_memory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {key.lower(): value for key, value in scope.get("headers", ())}
        refused = self._refusal(scope, headers)
        if refused is not None:
            await _refuse(scope, receive, send, *refused)
            return
        most, rest, role, name = self._max_body, _REST, Role.OWNER, ""
        if self._gate is not None:
            verdict = self._gate.judge(scope, headers)
            if verdict.refusal is not None:
                await _turn_away(scope, receive, send, headers, verdict.refusal)
                return
            most = most if verdict.body < 0 else min(most, verdict.body)
            role, name = verdict.identity.role, verdict.name
            if role is Role.ANYBODY:
                rest = _REST_OF_STRANGERS
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        full = self._crowd.enter(role, name)
        if full is not None:
            await _answer(send, 429, _said(UserError("error.api.crowd", most=full)), _LATER)
            return
        pool = None if role is Role.OWNER else self._pool
        body = Body(receive, most, self._paces.of(role), pool)
        try:
            if _length(headers) > most:
                # Who asks first whether he may send waits for the answer and has sent nothing.
                waits = headers.get(b"expect", b"").lower() == b"100-continue"
                await _refuse_large(receive, send, _too_large(most), 0 if waits else rest)
            else:
                await self._serve(scope, body, send)
                if body.refused == 413:
                    await _refuse_large(receive, send, _too_large(most), 0 if body.whole else rest)
                elif body.refused:
                    await _answer(
                        send, body.refused, _said(UserError(_WHY[body.refused])), (_JSON, _CLOSE)
                    )
        finally:
            body.close()
            self._crowd.leave(role, name)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, UserError] | None:
        hosts = [value for key, value in scope.get("headers", ()) if key.lower() == b"host"]
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        if not self._reach.is_ours(host):
            return 421, UserError("error.api.host", found=host[:80], expected=self._shown)
        path = unquote(scope.get("path", "")).replace("\\", "/").lower()
        if _is_shut(path) or any(len(part.encode()) > _LONGEST for part in path.split("/")):
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
        if path.startswith("/gradio_api/") and _is_form(headers):
            return 415, UserError("error.api.form")
        if _length(headers) < 0:
            return 413, _too_large(self._max_body)
        return None

    async def _serve(self, scope: Scope, body: Body, send: Send) -> None:
        """Let the application answer; where its body was refused before it began to, `body.refused` says so still."""
        started = False

        async def dressed(message: Message) -> None:
            nonlocal started
            if body.refused and not started:
                return  # whatever the app makes of the disconnection, the answer that follows is the right one
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _with_ours(message.get("headers", ()))}
            await send(message)

        try:
            await self._app(scope, body, dressed)
        except Exception:
            if not body.refused or started:
                raise
        if started:
            body.refused = None


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


def _is_form(headers: Mapping[bytes, bytes]) -> bool:
    """Forms with files are how its upload is fed, which is shut; their parsers have been attacked often enough."""
    return headers.get(b"content-type", b"").lower().lstrip().startswith(b"multipart/")


def _same_origin(origin: bytes, host: str) -> bool:
    # Scheme apart: behind a proxy that speaks TLS we cannot know it, and the host with its port decides.
    parts = urlsplit(origin.decode("latin-1").lower())
    return parts.scheme in ("http", "https") and parts.netloc == host.lower()


def _length(headers: Mapping[bytes, bytes]) -> int:
    """How long the body says it is; -1 for what is no length."""
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() and len(length) < 20 else -1


def _too_large(most: int) -> UserError:
    if most < 2**20:
        return UserError("error.api.too_large.small", most=max(1, most // 1024))
    return UserError("error.api.too_large", most=most // 2**20)


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
        headers.append((b"connection", b"close"))  # nobody knows where the body ends
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_large(receive: Receive, send: Send, error: UserError, rest: int) -> None:
    """Answer, read up to `rest` bytes of what still comes, and close.

    A connection that is closed while something comes is reset, and a client that is still sending never sees the answer.
    """
    body = _said(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        *_HEADERS,
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(_REST_SECONDS):
            while rest > 0:
                message = await receive()
                if not message.get("more_body", False):  # it is over, or nobody is there any more
                    break
                rest -= len(message.get("body", b""))
    except TimeoutError:
        pass  # whoever sends so slowly is cut off
    await send({"type": "http.response.body", "body": b""})


def _said(error: UserError) -> bytes:
    """An error for every client: of `/api/v2` (`error`), of the old API (`detail`), and for the page (by language)."""
    messages = {language: error.message(language) for language in LANGUAGES}
    said = {
        **messages,
        "key": error.key,
        "message": error.message(),
        "messages": messages,
        "field": None,
    }
    return json.dumps({"error": said, "detail": error.message()}).encode()


async def _turn_away(
    scope: Scope, receive: Receive, send: Send, headers: Mapping[bytes, bytes], refusal: "Refusal"
) -> None:
    """A browser that opens a page is sent to the login page; a program gets words in both languages."""
    if scope["type"] == "websocket":
        await _refuse(scope, receive, send, refusal.status, refusal.error)
        return
    opens = scope["method"] == "GET" and b"text/html" in headers.get(b"accept", b"")
    if refusal.login and opens:
        status, body = 303, b""
        more = [(b"location", b"/login")]
    else:
        status, body = refusal.status, _said(refusal.error)
        more = [_JSON, *refusal.headers]
    await _answer(send, status, body, more)


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    more: Iterable[tuple[bytes, bytes]],
) -> None:
    headers = [
        *more,
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *_HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
