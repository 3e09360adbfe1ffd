"""The list of presets where programs of the field look for it."""

from fastapi import APIRouter

from modules.plugins import Host

from .plugin import presets_of


def foreign(host: Host) -> APIRouter:
    """`/sdapi/v1/prompt-styles`."""
    router = APIRouter()
    presets = presets_of(host)

    @router.get("/sdapi/v1/prompt-styles")
    def prompt_styles() -> list[dict[str, str]]:
        """Names and words."""
        return [
            {"name": each.name, "prompt": each.prompt, "negative_prompt": each.negative}
            for each in presets.all()
        ]

    return router
