"""Pictures by their number in the database, never by a path: `/files/picture/3`, `/files/thumb/3`, `/files/preview/7`."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, Response
from PIL import Image

from modules.api.face import Visitors
from modules.errors import UserError
from modules.schema import Picture
from modules.services.own import own_picture

if TYPE_CHECKING:
    from modules.services.front import Studio

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_THUMB = 256
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
SHUT_IN = {
    # Whatever a file contains, it may not act: no scripts, no forms, nothing loaded.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self'",
    "X-Content-Type-Options": "nosniff",
}
_FOREVER = "private, max-age=31536000, immutable"


def file_routes(studio: "Studio", visitors: Visitors) -> APIRouter:
    """The routes that serve pictures, each to the visitor whose job made it."""
    router = APIRouter(prefix="/files", include_in_schema=False)

    @router.get("/picture/{number}")
    def picture(request: Request, number: str, download: bool = False) -> Response:
        path, found = _picture(studio, number, visitors.who(request))
        headers = {**SHUT_IN, "Cache-Control": _FOREVER}
        return FileResponse(
            path,
            media_type=_TYPES[path.suffix.lower()],
            headers=headers,
            filename=_good_name(found, studio, path),
            content_disposition_type="attachment" if download else "inline",
        )

    @router.get("/thumb/{number}")
    def thumb(request: Request, number: str) -> Response:
        path, _ = _picture(studio, number, visitors.who(request))
        try:
            small = _thumbnail(path)
        except _UNREADABLE as error:  # damaged since it was saved
            raise HTTPException(404, "no such picture") from error
        return Response(
            small,
            media_type="image/webp",
            headers={**SHUT_IN, "Cache-Control": _FOREVER},
        )

    @router.get("/preview/{job_id}")
    def preview(request: Request, job_id: str) -> Response:
        try:
            studio.job(number_of(job_id), visitors.who(request))
            path = studio.preview_file(number_of(job_id))
            data = path.read_bytes() if path is not None else b""
        except (UserError, OSError):
            path, data = None, b""
        if path is None or path.suffix.lower() not in _TYPES:
            # It was there a moment ago: the job has gone on, or is over. No error that a page would have to show.
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        return Response(
            data,
            media_type=_TYPES[path.suffix.lower()],
            headers={**SHUT_IN, "Cache-Control": "no-store"},
        )

    return router


def number_of(text: str) -> int:
    """The number in an address; 0, which nothing has, for whatever is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _picture(studio: "Studio", number: str, who: tuple[str, ...]) -> tuple[Path, Picture]:
    try:
        found = own_picture(studio, number_of(number), who)
        path = studio.picture_file(found.id)
        path = path.resolve(strict=True)
    except (UserError, OSError) as error:
        raise HTTPException(404, "no such picture") from error
    if path.suffix.lower() not in _TYPES or not path.is_file():
        raise HTTPException(404, "no such picture")
    return path, found


def _thumbnail(path: Path) -> bytes:
    with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
        image.thumbnail((_THUMB, _THUMB))
        data = io.BytesIO()
        image.convert("RGB").save(data, "WEBP", quality=82)
    return data.getvalue()


def _good_name(picture: Picture, studio: "Studio", path: Path) -> str:
    """`a-red-apple-1234.png`: what the picture shows and its seed, in letters that every system takes."""
    try:
        prompt = studio.job(picture.job_id).request.prompt
    except UserError:
        prompt = ""
    words = re.findall(r"\w+", prompt)[:8]
    stem = "-".join(words)[:60].strip("-_") or "picture"
    return f"{stem}-{picture.seed}{path.suffix.lower()}"
