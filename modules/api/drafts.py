"""What a visitor typed, kept on the server as well: `PUT` and `DELETE /ui/drafts/<tab>`; the page's opening reads it."""

import json
import re

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from modules.api.face import Visitors
from modules.errors import LimitError, UserError
from modules.services.drafts import MAX_BYTES, Drafts
from modules.texts import LANGUAGES

_TAB = re.compile(r"[a-z0-9_]{1,40}")


def draft_routes(drafts: Drafts, visitors: Visitors) -> APIRouter:
    """The routes that `draft.js` uses. Whoever has no visitor's cookie has no draft."""
    router = APIRouter(prefix="/ui/drafts", include_in_schema=False)

    def visitor_of(request: Request, tab: str) -> str:
        visitor = visitors.of(request.cookies)
        if visitor == visitors.anonymous or not _TAB.fullmatch(tab):
            raise HTTPException(404, "no such draft")
        return visitor

    @router.put("/{tab}")
    async def keep(request: Request, tab: str) -> Response:
        visitor = visitor_of(request, tab)
        try:
            fields = json.loads(await _body(request))
            if not isinstance(fields, dict):
                raise ValueError
            await run_in_threadpool(drafts.keep, visitor, tab, fields)
        except (ValueError, RecursionError):
            return Response(status_code=400)
        except UserError as error:
            texts = {language: error.message(language) for language in LANGUAGES}
            status = 413 if isinstance(error, LimitError) else 503
            return JSONResponse({"error": texts}, status_code=status)
        return Response(status_code=204)

    @router.delete("/{tab}")
    def clear(request: Request, tab: str) -> Response:
        drafts.clear(visitor_of(request, tab), tab)
        return Response(status_code=204)

    return router


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > 2 * MAX_BYTES:  # JSON may write a character in six
            raise LimitError("error.draft.size", found=len(body), most=MAX_BYTES)
    return body
