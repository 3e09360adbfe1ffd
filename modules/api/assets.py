"""The page's own files: script, styles, icon and texts, each under an address that changes with its content."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Assets:
    """Serves the files that the page hands over."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def address(self, name: str) -> str:
        """Where the page finds a file; a new content has a new address, so that it may be kept for ever."""
        return f"./ui/{name}?v={hashlib.sha256(self._files[name]).hexdigest()[:12]}"

    def routes(self) -> APIRouter:
        """The routes that serve the files."""
        router = APIRouter(prefix="/ui", include_in_schema=False)

        @router.get("/{name}")
        def asset(name: str, v: str = "") -> Response:
            if name not in self._files:
                raise HTTPException(404, "no such file")
            kept = "public, max-age=31536000, immutable" if v else "no-cache"
            return Response(
                self._files[name],
                media_type=_TYPES[Path(name).suffix],
                headers={"Cache-Control": kept},
            )

        return router
