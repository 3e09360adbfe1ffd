"""`/api/v2` as one application, to be mounted: its answers and its document are its own."""

from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.requests import Request

from modules.api.face import Page
from modules.api.threads import Aside
from modules.api.v2.answers import Json, add_handlers
from modules.api.v2.callers import Callers
from modules.api.v2.care import care_routes
from modules.api.v2.catalogue import catalogue_routes, option_schemas
from modules.api.v2.gallery import gallery_routes
from modules.api.v2.jobs import job_routes
from modules.plugins.manager import Plugins
from modules.services.access import Exposure

if TYPE_CHECKING:
    from modules.services.front import Studio

PREFIX = "/api/v2"
_ABOUT = """\
Jobs with ids in the queue that the page and the command line use, too. Submit a request, follow it, fetch its pictures.

Callers are told apart by the cookie `noisette_visitor` (32 hexadecimal digits of your own choice, kept secret); each
sees its own jobs. Without one a caller is nobody in particular, together with everybody else who sends none. Every
answer that is not a success has the body `{"error": {"key", "message", "messages", "field"}}`.
"""


def v2_app(
    studio: "Studio",
    page: Page,
    exposure: Exposure,
    *,
    plugins: Plugins | None,
    max_upload: int,
    decoding: Aside | None = None,
) -> FastAPI:
    """The application; its document at `/openapi.json` names the options of the extensions that are active.

    Args:
        max_upload: bytes of a picture that is handed in.
        decoding: where it is read.
    """
    callers = Callers(page.visitors, exposure)
    app = FastAPI(
        title="Noisette",
        version=page.version,
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        default_response_class=Json,
    )
    add_handlers(app)
    app.include_router(job_routes(studio, callers))
    app.include_router(gallery_routes(studio, callers, max_upload, decoding or Aside()))
    app.include_router(catalogue_routes(studio, callers, plugins))
    app.include_router(care_routes(studio, callers, page.version))

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(callers.owner)])
    def document(request: Request) -> JSONResponse:
        return Json(describe(app, plugins))

    return app


def describe(app: FastAPI, plugins: Plugins | None) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with `extras` as the options that each active extension declares."""
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": PREFIX}],
    )
    schemas = found["components"]["schemas"]
    for name in [each for each in schemas if each.startswith("GenerationRequest")]:
        extras = schemas[name]["properties"]["extras"]
        extras["properties"] = {
            each: {"$ref": f"#/components/schemas/options.{each}"}
            for each in option_schemas(plugins)
        }
    _show_extras(found, plugins)
    for name, schema in option_schemas(plugins).items():
        inner: Any = schema.pop("$defs", {})
        schemas[f"options.{name}"] = schema
        for each, definition in inner.items():
            schemas[f"options.{name}.{each}"] = definition
        _point(schemas[f"options.{name}"], name)
        for each in inner:
            _point(schemas[f"options.{name}.{each}"], name)
    return found


def _show_extras(found: dict[str, Any], plugins: Plugins | None) -> None:
    """An example of a request with an extension's options, of one that is active here."""
    for name, kind in sorted((plugins.options if plugins else {}).items()):
        content = found["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]
        try:
            options = kind(enabled=True).model_dump(mode="json")
        except ValidationError:  # it has an option without a default
            continue
        value = {"prompt": "a red apple", "extras": {name: options}}
        said = {"summary": "With an extension's options, by its name", "value": value}
        content["examples"]["extension"] = said
        return


def _point(schema: Any, name: str) -> None:
    """Let references lead to where the definitions of an extension's options now stand."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                schema[key] = value.replace("#/$defs/", f"#/components/schemas/options.{name}.")
            else:
                _point(value, name)
    elif isinstance(schema, list):
        for each in schema:
            _point(each, name)
