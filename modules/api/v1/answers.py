"""How `/sdapi/v1` answers: JSON in plain ASCII, and what went wrong as `{"detail": …}`, as its clients expect."""

import logging
import math
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from modules.api.v2.answers import Denied, Json
from modules.errors import EndingError, ExtensionError, LimitError, StorageError, UserError
from modules.services.quotas import QuotaError
from modules.texts import LANGUAGES

log = logging.getLogger(__name__)

_MISSING = {
    "error.v1.image.none",
    "error.v1.init_images",
    "error.v1.training",
    "error.job.unknown",
    "error.input.missing",
}
_FAULTS = ("error.internal", "error.memory", "error.worker.", "error.job.", "error.api.fault")
"""What became of a job without its author's doing."""
_NO_STORE = {"Cache-Control": "no-store"}


class Wrong(BaseModel):
    """A value of a body that cannot be."""

    loc: list[str | int]
    msg: str
    type: str


class Refusal(BaseModel):
    """Every answer that is no success."""

    detail: str | list[Wrong]
    error: str = Field("", description="the key of the text")
    messages: dict[str, str] = Field(default_factory=dict, description="by language")


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No JSON, or a sampler that is none"},
    403: {"model": Refusal, "description": "Not for who asks"},
    404: {"model": Refusal, "description": "What it needs is not there"},
    413: {"model": Refusal, "description": "Too large"},
    422: {"model": Refusal, "description": "A field or a name is wrong"},
    429: {"model": Refusal, "description": "A guest has had his share"},
    500: {"model": Refusal, "description": "The job failed"},
    503: {"model": Refusal, "description": "The disk refuses, or the program is being ended"},
}


def status_of(error: UserError) -> int:
    """The HTTP status that the family's clients know for it."""
    match error:
        case Denied():
            return 403
        case QuotaError():
            return 429
        case StorageError() | EndingError():
            return 503
        case LimitError() if error.key == "error.input.bytes":
            return 413
        case ExtensionError():
            return 500 if "failed" in error.key or "hung" in error.key else 422
    if error.key.startswith(_FAULTS) and error.key not in _MISSING:
        return 500
    if error.key == "error.sampler.unknown":
        return 400
    return 404 if error.key in _MISSING else 422


def refuse(error: UserError, status: int) -> Json:
    """The answer; `error` names the text, `messages` has it in each language."""
    body = {
        "detail": error.message(),
        "error": error.key,
        "errors": error.message(),
        "body": "",
        "messages": {each: error.message(each) for each in LANGUAGES},
    }
    return Json(body, status_code=status, headers=_NO_STORE)


def plain(value: Any) -> Any:
    """A value as JSON can say it: numbers that are none become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def add_handlers(app: FastAPI) -> None:
    """Let `app` answer every error in that form."""

    async def user_error(request: Request, error: Exception) -> Json:
        assert isinstance(error, UserError)
        return refuse(error, status_of(error))

    async def invalid(request: Request, error: Exception) -> Json:
        found = cast(RequestValidationError, error).errors()
        rows = [
            {"loc": plain(each["loc"]), "msg": str(each["msg"]), "type": each["type"]}
            for each in found[:20]
        ]
        return Json({"detail": rows}, status_code=422, headers=_NO_STORE)

    async def http(request: Request, error: Exception) -> Json:
        assert isinstance(error, HTTPException)
        headers = {**_NO_STORE, **(error.headers or {})}
        return Json({"detail": str(error.detail)}, status_code=error.status_code, headers=headers)

    async def broken(request: Request, error: Exception) -> Json:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return refuse(UserError("error.api.fault"), 500)

    app.add_exception_handler(UserError, user_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, broken)
