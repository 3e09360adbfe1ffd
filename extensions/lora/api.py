"""The list of LoRA files where programs of the field look for it."""

import json
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from modules.plugins import Host, UserError

from .files import json_object, read_header
from .shelf import File, Shelf

_MOST_TEXT = 200_000
"""Characters of one value of a file's metadata; some hold whole training sets."""


def foreign(host: Host) -> APIRouter:
    """`/sdapi/v1/loras`, `/sdapi/v1/refresh-loras`, and a file's picture and header below `/sd_extra_networks`."""
    router = APIRouter()
    shelf = Shelf.of(host)

    @router.get("/sdapi/v1/loras")
    def loras() -> list[dict[str, Any]]:
        """Name, the trainer's name, place below the folder for models, and what the file's header says."""
        return [_row(shelf, file) for file in shelf.files()]

    @router.post("/sdapi/v1/refresh-loras")
    def refresh_loras() -> None:
        """Nothing to do: the folder is looked at each time."""

    @router.get("/sd_extra_networks/thumb", response_class=Response)
    def thumb(filename: str = "") -> Response:
        """A small WebP of a file's picture; `filename` is a `path` of the list, or the name of one."""
        for file in shelf.files():
            if filename in (_path(shelf, file), file.name, file.path.name):
                picture = shelf.thumb(file)
                if picture:
                    return Response(picture, media_type="image/webp")
        raise HTTPException(404, "File not found")

    @router.get("/sd_extra_networks/metadata")
    def metadata(page: str = "", item: str = "") -> dict[str, str]:
        """What a file's header says, as JSON text; empty where there is none of that name."""
        for file in shelf.files() if page.casefold() in ("lora", "loras") else ():
            if item in (file.name, file.path.stem):
                return {"metadata": json.dumps(_row(shelf, file)["metadata"])}
        return {}

    return router


def _path(shelf: Shelf, file: File) -> str:
    """Its place below the folder for models."""
    return file.path.relative_to(shelf.models).as_posix()


def _row(shelf: Shelf, file: File) -> dict[str, Any]:
    path = _path(shelf, file)
    try:
        alias = shelf.card(file).alias
        metadata = dict(read_header(file.path).metadata)
    except (UserError, OSError) as error:
        return {
            "name": file.name,
            "alias": file.name,
            "path": path,
            "metadata": {},
            "error": str(error),
        }
    said = {key: _value(text) for key, text in metadata.items() if len(text) <= _MOST_TEXT}
    return {"name": file.name, "alias": alias or file.name, "path": path, "metadata": said}


def _value(text: str) -> Any:
    """Objects that trainers write as text are objects in the answer, as programs of the field have them."""
    return json_object(text) or text if text.startswith("{") else text
