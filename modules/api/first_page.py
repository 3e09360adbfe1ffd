"""The document at "/": Gradio's, with our script and styles in its head and the visitor's cookie; a guest's is smaller.

What the head needs has to be in the document itself: Gradio adds its own only once its program runs.
"""

import json
import re
from collections.abc import Sequence

from starlette.requests import cookie_parser

from modules.api.face import Page
from modules.api.guard import ASGI, Message, Receive, Scope, Send
from modules.services.access import Role, identity_in

_FIRST = '<meta charset="utf-8" />'
_CONFIG = "window.gradio_config = "
_PATHS = ("/", "/config", "/config/")
_YEAR = 365 * 24 * 3600
# Gradio's document advertises Gradio, with a picture on another host.
_SOCIAL = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*', re.DOTALL)
_MANIFEST = re.compile(rb'<link rel="manifest"[^>]*>')


class FirstPage:
    """Rewrites the answers to `GET /` and `GET /config` and passes everything else on."""

    def __init__(self, app: ASGI, head: str, page: Page) -> None:
        self._app = app
        self._head = (_FIRST + head).encode()
        self._page = page
        self._visitors = page.visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _PATHS or scope["method"] != "GET":
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
            document = b"".join(body)
            if start["status"] == 200:
                document = self._rewrite(document, scope)
            kept = [
                pair
                for pair in start["headers"]
                if pair[0].lower() not in (b"content-length", b"cache-control")
            ]
            start["headers"] = [
                *kept,
                (b"content-length", str(len(document)).encode()),
                (b"cache-control", b"no-store"),
                *([self._cookie(scope["headers"])] if scope["path"] == "/" else []),
            ]
            await send(start)
            await send({"type": "http.response.body", "body": document})

        await self._app({**scope, "headers": headers}, receive, collect)

    def _rewrite(self, document: bytes, scope: Scope) -> bytes:
        if _is_guest(scope):
            document = self._for_guests(document, whole=scope["path"] != "/")
        if scope["path"] != "/":
            return document
        document = _MANIFEST.sub(b"", _SOCIAL.sub(b"", document))
        return document.replace(_FIRST.encode(), self._head, 1)

    def _for_guests(self, document: bytes, *, whole: bool) -> bytes:
        """The document with a smaller description of the page in it, or that description itself."""
        text = document.decode("utf-8")
        start = 0 if whole else text.index(_CONFIG) + len(_CONFIG)
        config, end = json.JSONDecoder().raw_decode(text, start)
        smaller = json.dumps(self._page.for_guests(config), ensure_ascii=False)
        # As Gradio writes it, no text of a component may end the script that it stands in.
        smaller = (
            smaller.replace("<", "\\u003c")
            .replace("\u2028", "\\u2028")
            .replace("\u2029", "\\u2029")
        )
        return (text[:start] + smaller + text[end:]).encode("utf-8")

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


def _is_guest(scope: Scope) -> bool:
    identity = identity_in(scope)
    return identity is not None and identity.role < Role.OWNER
