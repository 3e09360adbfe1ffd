"""From a request with a grid to the cells of its job, each of them checked before anything runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modules.errors import LimitError, UserError
from modules.plugins.axis import Axis
from modules.schema import Cell, GenerationRequest, Layout, Limits
from modules.schema.options import RANDOM_SEED
from modules.services.jobs import draw_seed


class LaysOut(Protocol):
    """What `modules.plugins.Plugins` does for a grid."""

    def check(self, request: GenerationRequest) -> GenerationRequest: ...
    def lay_out(
        self, request: GenerationRequest, axes: Sequence[Axis], most: int
    ) -> Layout | None: ...


@dataclass(frozen=True)
class Grid:
    """A job of many cells."""

    request: GenerationRequest
    """What was asked for as a whole, the grid's own options in it."""
    layout: Layout


class Layouts:
    """Lays grids out; `ready` resolves and checks a cell as a request of its own, its seeds drawn."""

    def __init__(
        self,
        plugins: LaysOut,
        axes: Callable[[], Sequence[Axis]],
        limits: Limits,
        ready: Callable[[GenerationRequest, str], GenerationRequest],
    ) -> None:
        self._plugins = plugins
        self._axes = axes
        self._limits = limits
        self._ready = ready

    def of(self, asked: GenerationRequest, resolved: GenerationRequest, client: str) -> Grid | None:
        """The grid that `client` asks for, or None where the options ask for none.

        The cells are made of what was asked for, not of what became of it: what was left open is filled in for each by
        its own model's card. They share the seeds, but for those that a cell leaves open itself.

        Raises:
            LimitError: there are too many cells.
            UserError: what is wrong with the grid, or with one of its cells, which is named.
        """
        if asked.postprocess is not None:
            raise UserError("error.layout.postprocess")
        once = asked.replace(batch_size=1, batch_count=1).drawn(draw_seed)
        most = self._limits.max_cells
        layout = self._plugins.lay_out(self._plugins.check(once), self._axes(), most)
        if layout is None:
            return None
        if len(layout.cells) > most:
            raise LimitError("error.layout.cells", found=len(layout.cells), most=most)
        varied = draw_seed()
        cells = [self._resolved(layout, cell, varied, client) for cell in layout.cells]
        work = round(sum(cell.request.work for cell in cells))
        if work > self._limits.max_work:
            raise LimitError("error.limit.work", found=work, most=self._limits.max_work)
        whole = resolved.replace(
            batch_size=1, batch_count=1, seed=once.seed, variation=once.variation
        )
        return Grid(whole, layout.model_copy(update={"cells": tuple(cells)}))

    def _resolved(self, layout: Layout, cell: Cell, varied: int, client: str) -> Cell:
        request = cell.request
        variation = request.variation
        try:
            if variation is not None and variation.seed == RANDOM_SEED:
                variation = variation.model_copy(update={"seed": varied})
                request = request.replace(variation=variation)
            request = self._ready(request, client)
        except UserError as error:
            raise UserError("error.layout.cell", cell=_named(layout, cell), why=error) from error
        return cell.model_copy(update={"request": request})


def _named(layout: Layout, cell: Cell) -> UserError:
    """What is different in the cell, in both languages."""
    said = {language: layout.label(cell, language)[:200] for language in ("en", "zh")}
    return UserError("error.extension.said", **said)
