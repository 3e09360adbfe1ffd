"""ControlNet: the page's part. `worker` has what steers the model."""

from collections.abc import Mapping, Sequence
from typing import Any

from modules.plugins import (
    Axis,
    Command,
    ForeignRoutes,
    Host,
    ModelKind,
    Options,
    Panel,
    Script,
    hookimpl,
)

from .axes import axes
from .calls import SCRIPT
from .checks import check_units
from .commands import DETECT, FETCH
from .files import KIND, VISION
from .foreign_routes import ROUTES
from .infotext import read
from .options import ControlNetOptions
from .words import RECEIPT


class ControlNetExtension:
    """Registers the folders of files, the options and their panel, and reads units in a picture's text."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @hookimpl
    def register_options(self) -> type[Options]:
        return ControlNetOptions

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        return [
            Panel(tab, "ControlNet", "ControlNet", build="panel:build", receipt=RECEIPT)
            for tab in ("txt2img", "img2img")
        ]

    @hookimpl
    def register_model_kinds(self) -> Sequence[ModelKind]:
        return [KIND, VISION]

    @hookimpl
    def register_axes(self) -> Sequence[Axis]:
        return axes()

    @hookimpl
    def register_commands(self) -> Sequence[Command]:
        return [DETECT, FETCH]

    @hookimpl
    def register_foreign_api(self) -> ForeignRoutes:
        return ROUTES

    @hookimpl
    def register_scripts(self) -> Sequence[Script]:
        return [SCRIPT]

    @hookimpl
    def check_request(self, options: ControlNetOptions, family: str) -> None:
        if family:  # a finished picture is not steered
            check_units(self._host, options.units, family)

    @hookimpl
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, Any], list[str]] | None:
        return read(self._host, parameters)
