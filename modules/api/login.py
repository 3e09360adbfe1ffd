"""The login page: small HTML of its own, without Gradio, in both languages; `GET` and `POST /login`, `POST /logout`.

Only the owner's and the guests' secrets are asked for, no names: what was typed says who it is.
"""

import base64
import hashlib
import html
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from modules.api.gate import SESSION_COOKIE
from modules.errors import UserError
from modules.services.access import identity_of
from modules.services.door import Door, LockedOutError
from modules.services.reach import source_of
from modules.texts import LANGUAGES, translate

_HERE = Path(__file__).parent
_LANG = {"en": "en", "zh": "zh-CN"}
_NAMES = {"en": "English", "zh": "中文"}
_NO_STORE = {"Cache-Control": "no-store"}


def login_routes(door: Door) -> APIRouter:
    """The routes. Where nobody else can reach the server, there is nothing to log in to."""
    router = APIRouter(include_in_schema=False)
    page = _LoginPage()

    @router.get("/login")
    @router.head("/login")
    def shown(request: Request) -> Response:
        identity = identity_of(request)
        if not door.exposure.beyond_this_machine:
            return RedirectResponse("/", 303, _NO_STORE)
        # With a session a new link still opens its own door, so the page is shown all the same.
        return page.answer(
            _language(request), 200, known=identity is not None and identity.role > 0
        )

    @router.post("/login")
    async def enter(request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        secret = form.get("secret", [""])[0].strip()
        headers = dict(request.scope["headers"])
        source = source_of(request.scope, headers)
        language = _language(request)
        try:
            cookie, _, seconds = await run_in_threadpool(door.enter, secret, source)
        except LockedOutError as error:
            answer = page.answer(language, 429, error)
            answer.headers["Retry-After"] = str(error.seconds)
            return answer
        except UserError as error:
            return page.answer(language, 401, error)
        welcome = RedirectResponse("/", 303, _NO_STORE)
        welcome.set_cookie(
            SESSION_COOKIE,
            cookie,
            max_age=int(seconds),
            path="/",
            httponly=True,
            samesite="lax",
            secure=_by_https(request),
        )
        return welcome

    @router.post("/logout")
    def leave(request: Request) -> Response:
        door.leave(request.cookies.get(SESSION_COOKIE, ""))
        gone = RedirectResponse("/login", 303, _NO_STORE)
        gone.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="lax")
        return gone

    @router.get("/robots.txt")
    def robots() -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    return router


def _by_https(request: Request) -> bool:
    # Behind a tunnel we are spoken to in plain HTTP; a browser says in `Origin` what its own side of it is.
    return request.headers.get("origin", "").startswith("https://")


def _language(request: Request) -> str:
    asked = request.query_params.get("lang", "")
    if asked in LANGUAGES:
        return asked
    wanted = request.headers.get("accept-language", "").lower().split(",")[0].strip()
    return "zh" if wanted.startswith("zh") else "en"


class _LoginPage:
    """The page, with a policy that lets nothing run but its own few lines."""

    def __init__(self) -> None:
        self._page = Template((_HERE / "login.html").read_text(encoding="utf-8"))
        self._style = (_HERE / "login.css").read_text(encoding="utf-8")
        self._script = (_HERE / "login.js").read_text(encoding="utf-8")
        self._policy = "; ".join(
            (
                "default-src 'none'",
                f"style-src {_hash(self._style)}",
                f"script-src {_hash(self._script)}",
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            )
        )

    def answer(
        self, language: str, status: int, error: UserError | None = None, *, known: bool = False
    ) -> Response:
        """The page, with what was wrong before."""

        def say(key: str) -> str:
            return html.escape(translate(f"login.{key}", language))

        other = next(each for each in LANGUAGES if each != language)
        said = ""
        if error is not None:
            said = (
                f'<p class="said" id="said" role="alert">{html.escape(error.message(language))}</p>'
            )
        text = self._page.substitute(
            lang=_LANG[language],
            language=language,
            title=say("title"),
            style=self._style,
            script=self._script,
            icon=_ICON,
            about=say("about.known" if known else "about"),
            label=say("secret"),
            enter=say("enter"),
            said=said,
            described=' aria-describedby="said" aria-invalid="true"' if error else "",
            other=other,
            other_name=_NAMES[other],
        )
        headers = {**_NO_STORE, "Content-Security-Policy": self._policy, "X-Frame-Options": "DENY"}
        return Response(text, status, headers, "text/html; charset=utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="32" height="32" aria-hidden="true">'
    '<path d="M32 8c-3 0-4 3-7 4C14 15 8 24 8 33c0 13 12 24 24 24s24-11 24-24c0-9-6-18-17-21-3-1-4-4-7-4z" fill="#a8631f"/>'
    '<path d="M10 27c3-9 11-14 22-14s19 5 22 14c-5 4-9 1-13 4-3 2-6 2-9 0s-6-2-9 0c-4-3-8 0-13-4z" fill="#5c3410"/>'
    '<path d="M20 40c1 5 5 9 10 10" fill="none" stroke="#f1cfa0" stroke-width="3.5" stroke-linecap="round"/></svg>'
)
