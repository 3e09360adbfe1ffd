"""Enlarging pictures: the page's part. `worker` has what does it."""

from collections.abc import Mapping, Sequence
from typing import Any

from modules.plugins import (
    Command,
    GenerationRequest,
    Host,
    ModelKind,
    Options,
    Panel,
    Script,
    Tab,
    Upscaler,
    hookimpl,
)

from .checks import check_names, check_result
from .commands import UPSCALE
from .files import CORE, KIND, names
from .infotext import read
from .options import UpscalerOptions


class UpscalerExtension:
    """Registers the folder of files, the upscalers, the options, their panel, the tab and the command."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @hookimpl
    def register_options(self) -> type[Options]:
        return UpscalerOptions

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        return [Panel(tab, "Upscale", "放大") for tab in ("txt2img", "img2img")]

    @hookimpl
    def register_tabs(self) -> Sequence[Tab]:
        return [Tab("Upscale", "放大", build="panel:build_tab", guests=True)]

    @hookimpl
    def register_model_kinds(self) -> Sequence[ModelKind]:
        return [KIND]

    @hookimpl
    def register_upscalers(self) -> Sequence[Upscaler]:
        return [
            Upscaler(name, name, build="upscale:make")
            for name in names(self._host)
            if name not in CORE
        ]

    @hookimpl
    def register_scripts(self) -> Sequence[Script]:
        return [
            Script(
                "Upscale",
                aliases=("upscaler",),
                read="script:read",
                serves=("extras", "restore_faces"),
            )
        ]

    @hookimpl
    def check_request(self, request: GenerationRequest, options: UpscalerOptions) -> None:
        check_names(self._host, options)
        check_result(self._host, request, options)

    @hookimpl
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, Any], list[str]] | None:
        return read(self._host, parameters)

    @hookimpl
    def register_commands(self) -> Sequence[Command]:
        return [UPSCALE]
