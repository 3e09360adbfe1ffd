"""`/sdapi/v1` and `/internal` as applications to be mounted: their answers and their document are their own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from modules.api.face import Page
from modules.api.threads import Aside
from modules.api.v1.answers import REFUSALS, add_handlers
from modules.api.v1.care import care_routes
from modules.api.v1.examples import add_examples
from modules.api.v1.extras import extras_routes
from modules.api.v1.generate import generate_routes
from modules.api.v1.internal import internal_routes
from modules.api.v1.lists import list_routes
from modules.api.v1.models import Checkpoints, Hash
from modules.api.v1.progress import progress_routes
from modules.api.v1.tasks import Tasks
from modules.api.v1.translate import Translator
from modules.api.v2.answers import Json
from modules.api.v2.callers import Callers
from modules.api.waiting import decode_image
from modules.plugins.manager import Plugins
from modules.plugins.scripts import Scripts
from modules.services.access import Exposure
from modules.services.web_options import WebOptions
from modules.settings import Settings

if TYPE_CHECKING:
    from modules.services.front import Studio

PREFIX = "/sdapi/v1"
INTERNAL = "/internal"
OPTIONS_FILE = "api-options.json"
_ABOUT = """\
What programs of the A1111 family speak, in front of the same queue as the page, the command line and `/api/v2`.
Every answer that is not a success has the body `{"detail": …}`.
"""


@dataclass(frozen=True)
class V1:
    """Both applications."""

    app: FastAPI
    internal: FastAPI

    @property
    def paths(self) -> frozenset[str]:
        """Every address, as the main application has it."""
        both = ((PREFIX, self.app), (INTERNAL, self.internal))
        return frozenset(
            prefix + str(getattr(route, "path", "")) for prefix, app in both for route in app.routes
        )


def v1_apps(
    studio: "Studio",
    page: Page,
    settings: Settings,
    exposure: Exposure,
    *,
    plugins: Plugins | None,
    hash_of: Hash = lambda card: "",
    decoding: Aside | None = None,
) -> V1:
    """The applications.

    Args:
        hash_of: the SHA-256 of a model as far as it was ever computed, else "".
        decoding: where pictures that are sent along are read.
    """
    aside = decoding or Aside()
    callers = Callers(page.visitors, exposure)
    version = page.version
    tasks = Tasks()
    scripts = Scripts(plugins)
    checkpoints = Checkpoints(studio, hash_of)
    stored = WebOptions(settings.data_dir / "data" / OPTIONS_FILE)
    translate = Translator(
        studio,
        checkpoints,
        scripts,
        stored.read,
        lambda client: lambda image: studio.inputs.of(client).add(decode_image(image)),
    )
    app = _app(version, PREFIX, callers)
    app.include_router(generate_routes(studio, callers, translate, scripts, tasks, version, aside))
    app.include_router(extras_routes(studio, callers, scripts, aside))
    app.include_router(progress_routes(studio, callers))
    app.include_router(list_routes(studio, callers, checkpoints, scripts))
    app.include_router(care_routes(studio, callers, checkpoints, stored, settings))
    internal = _app(version, INTERNAL, callers)
    internal.include_router(internal_routes(studio, callers, tasks, version))
    return V1(app, internal)


def _app(version: str, prefix: str, callers: Callers) -> FastAPI:
    app = FastAPI(
        title="Noisette",
        version=version,
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        default_response_class=Json,
        responses=REFUSALS,
    )
    add_handlers(app)

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(callers.owner)])
    def document() -> Json:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            servers=[{"url": prefix}],
        )
        add_examples(found)
        return Json(found)

    return app
