"""The document at "/": Gradio's, with our script and styles in its head and the visitor's cookie.

What the head needs has to be in the document itself: Gradio adds its own only once its program runs.
"""

import re
from collections.abc import Sequence

from starlette.requests import cookie_parser

from modules.api.face import Visitors
from modules.api.guard import ASGI, Message, Receive, Scope, Send

_FIRST = '<meta charset="utf-8" />'
_YEAR = 365 * 24 * 3600
# Gradio's document advertises Gradio, with a picture on another host.
_SOCIAL = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*', re.DOTALL)
_MANIFEST = re.compile(rb'<link rel="manifest"[^>]*>')


class FirstPage:
    """Rewrites the answer to `GET /` and passes everything else on."""

    def __init__(self, app: ASGI, head: str, visitors: Visitors) -> None:
        self._app = app
        self._head = (_FIRST + head).encode()
        self._visitors = visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        headers = [pair for pair in scope["headers"] if pair[0].lower() != b"accept-encoding"]
        start: Message = {}
        body: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            body.append(message.get("body", b""))
            if message.get("more_body"):
                return
            document = self._rewrite(b"".join(body)) if start["status"] == 200 else b"".join(body)
            kept = [
                pair
                for pair in start["headers"]
                if pair[0].lower() not in (b"content-length", b"cache-control")
            ]
            start["headers"] = [
                *kept,
                (b"content-length", str(len(document)).encode()),
                (b"cache-control", b"no-store"),
                self._cookie(scope["headers"]),
            ]
            await send(start)
            await send({"type": "http.response.body", "body": document})

        await self._app({**scope, "headers": headers}, receive, collect)

    def _rewrite(self, document: bytes) -> bytes:
        document = _MANIFEST.sub(b"", _SOCIAL.sub(b"", document))
        return document.replace(_FIRST.encode(), self._head, 1)

    def _cookie(self, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        """The visitor's id, renewed for a year with each visit."""
        # Browsers send the cookies of every port of a host: what another program's look like must not matter. The
        # other routes read ours through the same parser, so both see the same visitor.
        given: dict[str, str] = {}
        for key, value in headers:
            if key.lower() == b"cookie":
                given.update(cookie_parser(value.decode("latin-1")))
        visitor = self._visitors.of(given)
        if visitor == self._visitors.anonymous:
            visitor = self._visitors.new()
        # Lax: a link to this page from elsewhere must lead to the same visitor, not to a new one.
        cookie = (
            f"{self._visitors.cookie}={visitor}; Max-Age={_YEAR}; Path=/; HttpOnly; SameSite=Lax"
        )
        return b"set-cookie", cookie.encode()
