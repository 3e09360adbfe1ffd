"""Pictures that people hand in, and what pictures say of themselves: `/ui/inputs`, `/ui/read`.

The body of a request is the picture's file itself; the guard in front has limited its size. What is kept is kept once
under the hash of its pixels; that hash is no secret, so a guest is shown what he handed in himself and nothing else.
"""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from modules.api.face import Visitors
from modules.api.files import SHUT_IN, number_of
from modules.api.threads import Aside
from modules.errors import ExtensionError, LimitError, UserError, reason
from modules.imaging import infotext, metadata
from modules.schema.options import MAX_TEXT
from modules.services.own import own_picture
from modules.texts import LANGUAGES

if TYPE_CHECKING:
    from modules.services.front import Studio
    from modules.services.handed_in import OwnInputs

_NAMELESS = "upload"
_NO_STORE = {"Cache-Control": "no-store"}
_FOREVER = {**SHUT_IN, "Cache-Control": "private, max-age=31536000, immutable"}


def input_routes(
    studio: "Studio", visitors: Visitors, max_bytes: int, decoding: Aside | None = None
) -> APIRouter:
    """The routes that take pictures in and show them again.

    Args:
        max_bytes: the most that a file may have.
        decoding: where pictures are read.
    """
    aside = decoding or Aside()
    router = APIRouter(prefix="/ui", include_in_schema=False)

    @router.post("/inputs")
    async def add(request: Request, name: str = _NAMELESS) -> JSONResponse:
        inputs = studio.inputs.of(visitors.client(request))
        return await _with_body(
            request, max_bytes, aside, lambda data: _kept(inputs, data, name[:200])
        )

    @router.post("/inputs/from/{number}")
    async def from_picture(request: Request, number: str) -> JSONResponse:
        def copied() -> dict[str, Any]:
            found = own_picture(studio, number_of(number), visitors.who(request))
            data = studio.picture_file(found.id).read_bytes()
            return _kept(studio.inputs.of(visitors.client(request)), data)

        return await aside(lambda: _answer(copied))

    @router.get("/inputs/{name}")
    def show(request: Request, name: str) -> Response:
        try:
            path = studio.inputs.of(visitors.client(request)).path(name)
        except UserError as error:
            return _refused(error)
        return FileResponse(path, media_type="image/png", headers=_FOREVER)

    @router.post("/read")
    async def read(request: Request, name: str = _NAMELESS) -> JSONResponse:
        return await _with_body(
            request, max_bytes, aside, lambda data: _said(studio, data, name[:200])
        )

    @router.get("/read/{number}")
    def read_own(request: Request, number: str) -> JSONResponse:
        def said() -> dict[str, Any]:
            found = own_picture(studio, number_of(number), visitors.who(request))
            file = studio.picture_file(found.id)
            return _said(studio, file.read_bytes(), file.name)

        return _answer(said)

    return router


async def _with_body(
    request: Request, most: int, aside: Aside, made: Callable[[bytes], dict[str, Any]]
) -> JSONResponse:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > most:
            return _refused(LimitError("error.input.bytes", found=len(data), most=most))
    return await aside(lambda: _answer(lambda: made(bytes(data))))


def _kept(inputs: "OwnInputs", data: bytes, name: str = _NAMELESS) -> dict[str, Any]:
    number = inputs.add(data, name)
    width, height = inputs.size(number)
    text = metadata.decode(io.BytesIO(data)).infotext or ""
    return {"id": number, "width": width, "height": height, "infotext": text[:MAX_TEXT]}


def _said(studio: "Studio", data: bytes, name: str) -> dict[str, Any]:
    """What a picture says of itself, for the PNG info tab and for filling the fields."""
    source = io.BytesIO(data)
    source.name = name
    found, problem = _decoded(studio, source)
    info = infotext.read(found.infotext or "")
    return {
        "infotext": found.infotext,
        "prompt": found.request.prompt if found.request else info.prompt,
        "negative_prompt": found.request.negative_prompt if found.request else info.negative_prompt,
        "parameters": dict(info.parameters),
        "request": found.request.model_dump(mode="json") if found.request else None,
        "exact": found.exact,
        "receipts": found.data.get("receipts"),
        "unused": list(found.unused),
        "problem": problem,
    }


def _decoded(studio: "Studio", source: io.BytesIO) -> tuple[metadata.Decoded, Any]:
    """What the picture says, and in both languages what an extension broke at: the rest is shown all the same."""
    try:
        return metadata.decode(source, studio.read_parameters), None
    except ExtensionError as error:
        source.seek(0)
        return metadata.decode(source), _texts(error)


def _answer(made: Callable[[], dict[str, Any]]) -> JSONResponse:
    try:
        return JSONResponse(made(), headers=_NO_STORE)
    except UserError as error:
        return _refused(error)
    except OSError as error:
        return _refused(UserError("error.picture.read", name="", why=reason(error)))


def _refused(error: UserError) -> JSONResponse:
    status = 413 if isinstance(error, LimitError) else 400
    return JSONResponse({"error": _texts(error)}, status_code=status, headers=_NO_STORE)


def _texts(error: UserError) -> dict[str, str]:
    return {language: error.message(language) for language in LANGUAGES}
