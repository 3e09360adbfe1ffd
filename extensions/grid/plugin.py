"""Grids: many pictures of one job. The page's part, which is all: the job runs its cells by itself."""

from collections.abc import Mapping, Sequence

from modules.plugins import (
    Axis,
    Command,
    GenerationRequest,
    Layout,
    Options,
    Panel,
    hookimpl,
)

from .commands import GRID
from .infotext import read
from .layout import laid_out
from .options import GridOptions


class GridExtension:
    """Registers the options, their panel and the command, and lays grids out."""

    @hookimpl
    def register_options(self) -> type[Options]:
        return GridOptions

    @hookimpl
    def register_panels(self) -> Sequence[Panel]:
        return [Panel(tab, "Grid", "网格", build="panel:build") for tab in ("txt2img", "img2img")]

    @hookimpl
    def register_commands(self) -> Sequence[Command]:
        return [GRID]

    @hookimpl
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, str], list[str]] | None:
        return read(parameters)

    @hookimpl
    def lay_out(
        self, request: GenerationRequest, options: GridOptions, axes: Sequence[Axis], most: int
    ) -> Layout:
        return laid_out(request, options, axes, most)
