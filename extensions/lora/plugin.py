"""LoRAs and mixes of them: the page's part. `worker` has what changes the model."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from modules.plugins import (
    Axis,
    Command,
    ForeignRoutes,
    GenerationRequest,
    Host,
    ModelKind,
    Options,
    Panel,
    Script,
    hookimpl,
)

from .actions import ACTIONS
from .axes import axes
from .blends import Blends
from .checks import check_rows
from .commands import MERGE
from .infotext import read
from .options import LoraOptions
from .places import blends_folder
from .shelf import KIND, Shelf
from .tags import TAGS
from .words import RECEIPT


class LoraExtension:
    """Registers the folder of files, the options, their panel and what grids can vary."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @cached_property
    def _shelf(self) -> Shelf:
        return Shelf.of(self._host)

    @hookimpl
    def register_options(self) -> type[Options]:
        return LoraOptions

    @hookimpl
    def register_tags(self) -> Sequence[str]:
        return TAGS

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        return [
            Panel(
                tab,
                "Style Mixer",
                "风格混合",
                build="panel:build",
                actions=ACTIONS,
                receipt=RECEIPT,
            )
            for tab in ("txt2img", "img2img")
        ]

    @hookimpl
    def register_scripts(self) -> Sequence[Script]:
        return [Script("Style Mixer", aliases=("lora",), forgives="script:forgive")]

    @hookimpl
    def register_foreign_api(self) -> ForeignRoutes:
        return ForeignRoutes(
            (
                "/sdapi/v1/loras",
                "/sdapi/v1/refresh-loras",
                "/sd_extra_networks/thumb",
                "/sd_extra_networks/metadata",
            ),
            build="api:foreign",
        )

    @hookimpl
    def register_model_kinds(self) -> Sequence[ModelKind]:
        return [KIND]

    @hookimpl
    def register_commands(self) -> Sequence[Command]:
        return [MERGE]

    @hookimpl
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, Any], list[str]] | None:
        return read(parameters)

    @hookimpl
    def check_request(self, request: GenerationRequest, options: LoraOptions, family: str) -> None:
        if family:  # a finished picture has no model that could be changed
            blends = Blends(blends_folder(self._host))
            check_rows(self._shelf, blends, request, options, family)

    @hookimpl
    def register_axes(self) -> Sequence[Axis]:
        return axes()
