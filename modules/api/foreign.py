"""Routes of extensions at addresses where clients of the field look for them: `/controlnet/…`, `/sdapi/v1/loras` …"""

import functools
import inspect
import logging
from collections.abc import Collection, Sequence

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.routing import Match, Route
from starlette.types import Scope

from modules.api.extensions import NamedApp, checked_router
from modules.api.v1.answers import refuse
from modules.errors import EndingError, UserError
from modules.plugins.blame import failed
from modules.plugins.foreign import ForeignRoutes, ServerQueue
from modules.plugins.manager import Plugins
from modules.services.quotas import QuotaError

log = logging.getLogger(__name__)

_HOOK = "register_foreign_api"


class ForeignRoute(Route):
    """Answers 405 by itself: what is mounted around it would take another method for its own, and find nothing."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See Starlette."""
        match, more = super().matches(scope)
        return Match.FULL if match is Match.PARTIAL else match, more


def mount_foreign_routes(
    app: FastAPI, plugins: Plugins, queue: ServerQueue, taken: Collection[str] = ()
) -> None:
    """Serve them, each as a route of `app` of its own; an extension that fails is out for this run, by name.

    Call it before what lies at the same places is mounted: a mount takes everything below it.

    Args:
        taken: addresses that are the program's own. Between extensions the first by name has an address.
    """
    used = set(taken)
    for name, foreign in plugins.foreign_routes():
        try:
            routes = _routes(plugins, name, foreign, queue, used)
        except UserError as error:
            plugins.drop(name, error)
        except Exception as error:  # an extension may raise anything; its name is blamed
            log.exception("the routes of %s failed", name)
            plugins.drop(name, failed(name, error))
        else:
            used.update(foreign.paths)
            app.router.routes.extend(routes)


def _routes(
    plugins: Plugins, name: str, foreign: ForeignRoutes, queue: ServerQueue, used: Collection[str]
) -> Sequence[Route]:
    doubled = sorted(set(foreign.paths) & set(used))
    if doubled:
        raise ValueError(f"{', '.join(doubled)} is taken already")
    build = plugins.builder(name, foreign.build)
    if "queue" in inspect.signature(build).parameters:
        build = functools.partial(build, queue=queue)
    router = checked_router(name, _HOOK, build())
    methods: dict[str, set[str]] = {}
    for route in router.routes:
        assert isinstance(route, APIRoute)  # as checked
        methods.setdefault(route.path, set()).update(route.methods or ())
    if set(methods) != set(foreign.paths):
        wrong = ", ".join(sorted(set(methods) ^ set(foreign.paths)))
        raise ValueError(f"declared and built addresses differ: {wrong}")
    own = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    own.include_router(router)

    def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, UserError)
        status = 429 if isinstance(error, QuotaError) else 422
        return refuse(error, 503 if isinstance(error, EndingError) else status)

    def broken(request: Request, error: Exception) -> JSONResponse:
        return refuse(failed(name, error), 500)

    own.add_exception_handler(UserError, refused)
    own.add_exception_handler(Exception, broken)
    named = NamedApp(name, own, plugins, foreign.seconds, refuse)
    found = [
        ForeignRoute(path, endpoint=named, methods=sorted(methods[path]), name=f"{name}:{path}")
        for path in foreign.paths
    ]
    for route in found:
        route.methods = methods[route.path]  # Starlette adds HEAD, which the routes do not answer
    return found
