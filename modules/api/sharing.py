"""What the page is told of who looks at it (`/ui/access`), and the owner of the public link (`/ui/share/…`)."""

import io
from typing import TYPE_CHECKING, Annotated, Any

import segno
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from modules.api.files import SHUT_IN
from modules.services.access import Exposure, Role, identity_of, is_owner
from modules.services.sharing import Share, ShareState, Sharing
from modules.texts import LANGUAGES

if TYPE_CHECKING:
    from modules.services.front import Studio

_NO_STORE = {"Cache-Control": "no-store"}


def access_routes(
    studio: "Studio", exposure: Exposure, sharing: Sharing | None = None
) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/ui", include_in_schema=False)

    @router.get("/access")
    def access(request: Request) -> JSONResponse:
        identity = identity_of(request)
        told: dict[str, Any] = {
            "role": "guest" if identity is not None and identity.role < Role.OWNER else "owner",
            "session": bool(identity and identity.by_session),
            "exposed": exposure.beyond_this_machine,
            "off": [each.name for each in studio.extensions() if each.state != "active"],
        }
        if told["role"] == "owner":
            told["share"] = None if sharing is None else _share(sharing.now)
        return JSONResponse(told, headers=_NO_STORE)

    def owners(request: Request) -> Sharing:
        # The table of rules says so already; a link that lets people in is worth asking twice.
        if not is_owner(exposure, request):
            raise HTTPException(403, "the owner's")
        if sharing is None:
            raise HTTPException(404, "nothing is shared")
        return sharing

    @router.get("/share/state")
    def state(sharing: Annotated[Sharing, Depends(owners)]) -> JSONResponse:
        return JSONResponse(_share(sharing.now), headers=_NO_STORE)

    @router.get("/share/qr.svg")
    def code(sharing: Annotated[Sharing, Depends(owners)]) -> Response:
        link = sharing.now.link
        if not link:
            raise HTTPException(404, "there is no link now")
        data = io.BytesIO()
        # Dark on white with the quiet zone of the standard, whatever the colours of the page.
        segno.make(link, error="m").save(data, kind="svg", scale=4, border=4, light="#fff")
        headers = {**SHUT_IN, **_NO_STORE}
        return Response(data.getvalue(), media_type="image/svg+xml", headers=headers)

    @router.post("/share/stop")
    def stop(sharing: Annotated[Sharing, Depends(owners)]) -> JSONResponse:
        return JSONResponse(_share(sharing.stop()), headers=_NO_STORE)

    return router


def _share(share: Share) -> dict[str, Any]:
    why = share.why
    return {
        "state": share.state,
        "link": share.link,
        "address": share.address if share.state is ShareState.OPEN else "",
        "ends": share.ends,
        "why": None if why is None else {each: why.message(each) for each in LANGUAGES},
    }
