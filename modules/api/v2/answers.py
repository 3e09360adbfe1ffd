"""How `/api/v2` answers what went wrong: always JSON, always with words in both languages, never with our insides."""

import json
import logging
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from modules.api.v2.shapes import ErrorOut, Refusal
from modules.errors import EndingError, LimitError, StorageError, UnknownNameError, UserError
from modules.schema.problems import explain
from modules.services.quotas import QuotaError

log = logging.getLogger(__name__)

_MISSING = {
    "error.job.unknown",
    "error.picture.unknown",
    "error.picture.gone",
    "error.input.missing",
}
_CONFLICT = {"error.job.no_retry", "error.job.not_waiting"}
Responses = dict[int | str, dict[str, Any]]


class Json(JSONResponse):
    """Plain ASCII, so that no text of whatever origin can fail to be written."""

    def render(self, content: Any) -> bytes:
        """See Starlette."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Denied(UserError):
    """It is there, but not for who asks."""


def refusals(*statuses: int) -> Responses:
    """The answers that a route may give beside its good one, for the OpenAPI document."""
    said = {
        400: "The body is no JSON",
        403: "Not for who asks",
        404: "There is none of yours",
        409: "Not in this state",
        413: "Too large",
        429: "A guest has had his share; the message says of what",
        422: "The request is wrong; `error.field` says where",
        503: "The disk refuses, or something else of this machine; or the program is being ended",
    }
    return {status: {"model": Refusal, "description": said[status]} for status in statuses}


def status_of(error: UserError) -> int:
    """The HTTP status that says the same."""
    match error:
        case Denied():
            return 403
        case QuotaError():
            return 429
        case StorageError() | EndingError():
            return 503
        case UnknownNameError() | LimitError():
            return 413 if error.key == "error.input.bytes" else 422
    if error.key in _MISSING:
        return 404
    return 409 if error.key in _CONFLICT else 422


def refuse(error: UserError, status: int, field: str | None = None) -> Json:
    """The answer."""
    headers = {"Cache-Control": "no-store"}
    body = Refusal(error=ErrorOut.of(error, field)).model_dump()
    return Json(body, status_code=status, headers=headers)


def add_handlers(app: FastAPI) -> None:
    """Let `app` answer every error in that form."""

    async def user_error(request: Request, error: Exception) -> Json:
        assert isinstance(error, UserError)
        return refuse(error, status_of(error))

    async def invalid(request: Request, error: Exception) -> Json:
        # It lists what pydantic's own error lists.
        wrong = explain(cast(ValidationError, error))
        where = wrong.field.split(".", 1)[-1]
        said = UserError("error.field", field=where, found=wrong.found, why=wrong.why)
        return refuse(said, 422, where)

    async def http(request: Request, error: Exception) -> Json:
        assert isinstance(error, HTTPException)
        key = {400: "error.api.body", 404: "error.api.not_found", 405: "error.api.method"}.get(
            error.status_code
        )
        said = UserError(key) if key else UserError(str(error.detail))
        answer = refuse(said, error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    async def broken(request: Request, error: Exception) -> Json:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return refuse(UserError("error.api.fault"), 500)

    app.add_exception_handler(UserError, user_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, broken)
