"""`/api/v2/pictures` and `/api/v2/inputs`: what was made, and what is handed in to make pictures from."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from pydantic import Field

from modules.api.files import SHUT_IN
from modules.api.threads import Aside
from modules.api.v2.answers import refusals
from modules.api.v2.callers import Callers
from modules.api.v2.jobs import MOST, Limit, Offset
from modules.api.v2.shapes import InputOut, PictureOut, PicturesOut
from modules.errors import LimitError, UserError
from modules.schema.options import MAX_SEED
from modules.services.jobs import Clients, PictureSearch
from modules.services.own import own_picture

if TYPE_CHECKING:
    from modules.services.front import Studio

Number = Annotated[int, Field(ge=1, le=MOST, description="of the picture", examples=[12])]
Moment = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)] | None
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


def gallery_routes(
    studio: "Studio", callers: Callers, max_bytes: int, decoding: Aside
) -> APIRouter:
    """The routes; `max_bytes` is the most that a picture's file may have, `decoding` is where it is read."""
    router = APIRouter()
    Scope = Annotated[Clients | None, Depends(callers.scope)]

    @router.get("/pictures", tags=["pictures"], responses=refusals(403, 422, 503))
    def search(
        scope: Scope,
        text: Annotated[
            str,
            Query(
                max_length=1000,
                description="words that all stand in the picture's text: prompt, sampler, model …",
                examples=["apple euler"],
            ),
        ] = "",
        seed: Annotated[int | None, Query(ge=0, le=MAX_SEED)] = None,
        job: Annotated[int | None, Query(ge=1, le=MOST, description="only of this job")] = None,
        since: Moment = None,
        until: Moment = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> PicturesOut:
        """One's own pictures, the newest first, as far as they fit the search. Moments are seconds since the epoch."""
        wanted = PictureSearch(text, seed, job, since, until)
        rows = studio.pictures(scope, limit + 1, offset, wanted)
        return PicturesOut(
            pictures=[PictureOut.of(row) for row in rows[:limit]], more=len(rows) > limit
        )

    @router.get("/pictures/{number}", tags=["pictures"], responses=refusals(403, 404, 422, 503))
    def one(number: Number, scope: Scope) -> PictureOut:
        """One picture."""
        return PictureOut.of(own_picture(studio, number, scope))

    @router.get(
        "/pictures/{number}/file",
        tags=["pictures"],
        response_class=FileResponse,
        responses={
            200: {"content": {"image/png": {}}, "description": "With its request in it"},
            **refusals(403, 404, 422, 503),
        },
    )
    def file(number: Number, scope: Scope) -> FileResponse:
        """The file of a picture, which also holds the request that it was made from."""
        path = studio.picture_file(own_picture(studio, number, scope).id)
        kind = _TYPES.get(path.suffix.lower())
        if kind is None:
            raise UserError("error.picture.gone", name=path.name)
        headers = {**SHUT_IN, "Cache-Control": "private, max-age=31536000, immutable"}
        return FileResponse(path, media_type=kind, headers=headers)

    @router.post(
        "/inputs",
        tags=["pictures"],
        status_code=201,
        responses=refusals(413, 422, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": "The file itself: PNG, JPEG or WebP",
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary"}}
                    for kind in ("image/png", "image/jpeg", "image/webp")
                },
            }
        },
    )
    async def hand_in(request: Request) -> InputOut:
        """Hand a picture in; its id is what `img2img.image` and `img2img.inpaint.mask` take.

        The same pixels have the same id. Nothing but the pixels is kept. A guest may name what he handed in himself.
        """
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > max_bytes:
                raise LimitError("error.input.bytes", found=len(data), most=max_bytes)

        def kept() -> InputOut:
            inputs = studio.inputs.of(callers.name(request))
            name = inputs.add(bytes(data))
            width, height = inputs.size(name)
            return InputOut(id=name, width=width, height=height)

        return await decoding(kept)

    return router
