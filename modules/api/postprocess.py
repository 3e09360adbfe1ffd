"""Jobs that begin with finished pictures, for the tabs of extensions: `/ui/postprocess`.

The pictures were handed in before (`/ui/inputs`); each becomes a job of its own, all or none.
"""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, JsonValue

from modules.api.face import Visitors
from modules.errors import UserError
from modules.schema import GenerationRequest, Postprocess
from modules.schema.received import Received
from modules.texts import LANGUAGES

if TYPE_CHECKING:
    from modules.services.front import Studio

MOST = 100
"""Pictures of one request; who has more asks again."""


class Asked(Received):
    """Which pictures, and what is to be done with them: the options of extensions by extension name."""

    model_config = ConfigDict(extra="forbid")

    pictures: list[Postprocess] = Field(min_length=1, max_length=MOST)
    extras: dict[str, dict[str, JsonValue]]


def postprocess_routes(studio: "Studio", visitors: Visitors) -> APIRouter:
    """The route that queues them."""
    router = APIRouter(prefix="/ui", include_in_schema=False)

    @router.post("/postprocess")
    def queue(asked: Asked, request: Request) -> JSONResponse:
        try:
            whole = [
                GenerationRequest(postprocess=each, extras=asked.extras) for each in asked.pictures
            ]
            jobs = studio.submit_all(whole, visitors.client(request))
        except UserError as error:
            texts = {language: error.message(language) for language in LANGUAGES}
            return _json({"error": texts}, 400)
        return _json({"jobs": [job.id for job in jobs]})

    return router


def _json(data: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(data, status_code=status, headers={"Cache-Control": "no-store"})
