"""`/api/v2/models`, `/names`, `/extensions`: what a request may ask for here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from pydantic import JsonValue

from modules.api.v2.answers import refusals
from modules.api.v2.callers import Callers
from modules.api.v2.shapes import ExtensionOut, ModelOut, ModelsOut, NamedOut, NamesOut
from modules.plugins.manager import Plugins

if TYPE_CHECKING:
    from modules.services.front import Studio


def catalogue_routes(studio: "Studio", callers: Callers, plugins: Plugins | None) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["what there is"])

    @router.get("/models", responses=refusals(403, 422, 503))
    def models(
        request: Request,
        refresh: Annotated[
            bool, Query(description="look into the folders again; for the owner")
        ] = False,
    ) -> ModelsOut:
        """The checkpoints, with what a request gets where it says nothing."""
        if refresh:
            callers.must_be_owner(request)
        found = studio.models(refresh)
        default = studio.default_model or (found.cards[0].name if found.cards else "")
        return ModelsOut(
            models=[ModelOut.of(card, default) for card in found.cards],
            problems=len(found.problems),
        )

    @router.get("/names")
    def names() -> NamesOut:
        """Samplers, schedules, upscalers and VAEs, by the names that a request takes."""
        return NamesOut(
            samplers=[NamedOut(name=row.name, label=row.label) for row in studio.samplers],
            schedules=[NamedOut(name=row.name, label=row.label) for row in studio.schedules],
            upscalers=list(studio.upscalers),
            vaes=list(studio.vaes()),
        )

    @router.get("/extensions")
    def extensions() -> list[ExtensionOut]:
        """The extensions, with the JSON Schema of what `extras.<name>` takes."""
        schemas = option_schemas(plugins)
        return [
            ExtensionOut(
                name=report.name,
                title={"en": report.title, "zh": report.title_zh},
                version=report.version,
                state=report.state,
                options=schemas.get(report.name),
            )
            for report in studio.extensions()
        ]

    return router


def option_schemas(plugins: Plugins | None) -> Mapping[str, dict[str, JsonValue]]:
    """The JSON Schema of each active extension's options, by its name."""
    if plugins is None:
        return {}
    return {name: kind.model_json_schema() for name, kind in plugins.options.items()}
