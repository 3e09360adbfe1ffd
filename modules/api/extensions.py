"""The Extensions tab's routes, and the routes that extensions bring.

Looking is for everybody who sees the page, without paths and tracebacks; changing is for the person at this machine.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from modules.api.guard import ASGI, Message, Receive, Scope, Send
from modules.errors import UserError
from modules.plugins.blame import broke_promise, failed
from modules.plugins.manager import Plugins
from modules.plugins.report import ExtensionReport
from modules.services.access import Exposure, may_administer
from modules.services.extensions import Extensions, Preview
from modules.texts import LANGUAGES

if TYPE_CHECKING:
    from modules.services.front import Studio

log = logging.getLogger(__name__)

ROUTE_SECONDS = 60.0
_NO_STORE = {"Cache-Control": "no-store"}
_SHOWN_FILES = 200


class Source(BaseModel):
    """Where an extension is to come from."""

    source: str
    commit: str = ""


class Chosen(BaseModel):
    """A preview, by its id."""

    id: str


def extension_routes(studio: "Studio", desk: Extensions | None, exposure: Exposure) -> APIRouter:
    """What the Extensions tab asks for and does."""
    router = APIRouter(prefix="/ui/extensions", include_in_schema=False)

    def admin(request: Request) -> Extensions:
        if desk is None or not may_administer(exposure, request):
            raise HTTPException(403, _texts(UserError("error.install.not_local")))
        return desk

    @router.get("")
    def listed(request: Request) -> JSONResponse:
        local = desk is not None and may_administer(exposure, request)
        rows = [_row(report, desk if local else None) for report in studio.extensions()]
        gone = list(desk.removed()) if local and desk else []
        return _json({"extensions": rows, "admin": local, "removed": gone})

    @router.post("/preview")
    def preview(body: Source, desk: Annotated[Extensions, Depends(admin)]) -> JSONResponse:
        return _said(lambda: {"preview": _preview(desk.prepare(body.source, body.commit))})

    @router.post("/install")
    def install(body: Chosen, desk: Annotated[Extensions, Depends(admin)]) -> JSONResponse:
        return _said(lambda: {"name": desk.install(body.id)})

    @router.post("/discard")
    def discard(body: Chosen, desk: Annotated[Extensions, Depends(admin)]) -> JSONResponse:
        desk.discard(body.id)
        return _json({"id": body.id})

    @router.post("/{name}/update")
    def update(name: str, desk: Annotated[Extensions, Depends(admin)]) -> JSONResponse:
        def act() -> dict[str, Any]:
            found = desk.prepare_update(name)
            return {"preview": None if found is None else _preview(found)}

        return _said(act)

    @router.post("/{name}/{what}")
    def change(name: str, what: str, desk: Annotated[Extensions, Depends(admin)]) -> JSONResponse:
        acts: dict[str, Callable[[str], object]] = {
            "enable": desk.enable,
            "disable": desk.disable,
            "rollback": desk.rollback,
            "remove": desk.remove,
        }
        if what not in acts:
            raise HTTPException(404, _texts(UserError("error.api.not_found")))

        def act() -> dict[str, Any]:
            acts[what](name)
            return {"name": name}

        return _said(act)

    return router


def mount_own_routes(app: FastAPI, plugins: Plugins) -> None:
    """Serve what extensions registered at /extensions/<name>/; one that fails is out for this run, by name."""
    for name, routes in plugins.routes():
        try:
            app.mount(
                f"/extensions/{name}", NamedApp(name, _own(plugins, name, routes.build), plugins)
            )
        except UserError as error:
            plugins.drop(name, error)
        except Exception as error:  # an extension may raise anything; its name is blamed
            log.exception("the routes of %s failed", name)
            plugins.drop(name, failed(name, error))


def _own(plugins: Plugins, name: str, build: str) -> FastAPI:
    router = checked_router(name, "register_api", plugins.part(name, build)())
    own = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    own.include_router(router)

    def answer(request: Request, error: Exception) -> JSONResponse:
        return _json({"error": _texts(failed(name, error))}, 500)

    own.add_exception_handler(Exception, answer)
    return own


def checked_router(name: str, hook: str, router: object) -> APIRouter:
    """What an extension gave as its routes, which have to be plain ones that cannot hold up the page.

    Raises:
        ExtensionError: they are something else.
    """
    if not isinstance(router, APIRouter):
        found = type(router).__name__
        raise broke_promise(name, hook, "type", wanted="APIRouter", found=found)
    for route in router.routes:
        if not isinstance(route, APIRoute):
            found = type(route).__name__
            raise broke_promise(name, hook, "type", wanted="APIRoute", found=found)
        if inspect.iscoroutinefunction(route.endpoint):
            raise broke_promise(name, hook, "async", what=route.endpoint.__name__)
    return router


class NamedApp:
    """An extension's application: its errors are answered with its name, and nobody waits for it for ever."""

    def __init__(
        self,
        name: str,
        app: ASGI,
        plugins: Plugins,
        seconds: float | None = None,
        say: Callable[[UserError, int], JSONResponse] | None = None,
    ) -> None:
        """`say` makes the answer of an error and a status; usually it is `{"error": …}` by language."""
        self._say = say or (lambda error, status: _json({"error": _texts(error)}, status))
        self._name = name
        self._seconds = seconds
        self._app = app
        self._plugins = plugins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        async def refuse(status: int, error: UserError) -> None:
            if not started:
                await self._say(error, status)(scope, receive, send)

        if not self._plugins.is_active(self._name):
            await refuse(404, self._plugins.why_not(self._name))
            return
        seconds = self._seconds or ROUTE_SECONDS
        try:
            await asyncio.wait_for(self._app(scope, receive, noted), seconds)
        except TimeoutError:
            hung = {"extension": self._name, "hook": scope["path"], "seconds": seconds}
            log.error("%s", error := UserError("error.extension.hung", **hung))
            await refuse(504, error)
        except Exception as error:  # whatever it raises is its own
            log.exception("extension %s failed at %s", self._name, scope["path"])
            await refuse(500, failed(self._name, error))


# ---------------------------------------------------------------------------------------------------- as JSON


def _row(report: ExtensionReport, desk: Extensions | None) -> dict[str, Any]:
    manifest = report.manifest
    row: dict[str, Any] = {
        "name": report.name,
        "title": {"en": report.title, "zh": report.title_zh},
        "description": {
            "en": manifest.description if manifest else "",
            "zh": (manifest.description_zh or manifest.description) if manifest else "",
        },
        "version": report.version,
        "state": report.state,
        "reason": _texts(report.reason),
        "seconds": round(report.seconds, 3),
        "hooks": list(report.hooks),
        "warnings": [_texts(warning) for warning in report.warnings],
        "permissions": list(manifest.permissions) if manifest else [],
        "restart": report.restart,
    }
    if report.failures is not None:
        row["failed"] = {
            "count": report.failures.count,
            "at": report.failures.at,
            "error": _texts(UserError.from_dict(report.failures.error)),
        }
    if desk is None:
        return row
    origin = report.origin
    last = report.failures.traceback if report.failures else ""
    return row | {
        "traceback": report.traceback or last,
        "origin": None if origin is None else {"source": origin.source, "commit": origin.commit},
        "before": desk.has_before(report.name),
    }


def _preview(preview: Preview) -> dict[str, Any]:
    manifest = preview.manifest
    return {
        "id": preview.id,
        "name": manifest.name,
        "title": {"en": manifest.title, "zh": manifest.title_zh or manifest.title},
        "description": {
            "en": manifest.description,
            "zh": manifest.description_zh or manifest.description,
        },
        "version": manifest.version,
        "version_before": preview.version_before,
        "licence": manifest.licence,
        "homepage": manifest.homepage,
        "permissions": list(manifest.permissions),
        "requires": list(manifest.requires),
        "packages": [package.pinned for package in preview.packages],
        "source": preview.source,
        "commit": preview.commit,
        "digest": preview.digest,
        "size": preview.size,
        "files": [{"path": file.path, "size": file.size} for file in preview.files[:_SHOWN_FILES]],
        "count": len(preview.files),
        "changes": {
            "added": len(preview.added),
            "changed": len(preview.changed),
            "removed": len(preview.removed),
        },
    }


def _said(act: Callable[[], dict[str, Any]]) -> JSONResponse:
    try:
        return _json(act())
    except UserError as error:
        return _json({"error": _texts(error)}, 404)


def _json(data: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(data, status_code=status, headers=_NO_STORE)


def _texts(error: UserError | None) -> dict[str, str] | None:
    """A text in every language: the page shows the visitor's, also after he has switched."""
    return None if error is None else {each: error.message(each) for each in LANGUAGES}
