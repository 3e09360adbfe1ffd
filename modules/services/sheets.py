"""A job that is a grid: its cells one after the other, in the order that loads least, and at last its sheets.

A cell is a picture of the job like any other, so what was finished before a crash is found again and not made anew.
"""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from PIL import Image
from pydantic import JsonValue

from modules.errors import Skipped
from modules.imaging import sheet
from modules.schema import (
    Cell,
    Event,
    GenerationRequest,
    ImageSaved,
    Job,
    Layout,
    Stage,
    StageChanged,
    StepDone,
    Warned,
)
from modules.services.outputs import Outputs

Report = Callable[[Event], None]


class MakesCells(Protocol):
    """What `modules.services.generation.GenerationService` does for a grid."""

    def cell(self, job: Job, cell: Cell, index: int, report: Report) -> None:
        """Make one picture and save it as number `index` of the job."""

    def said(self, request: GenerationRequest) -> tuple[str, dict[str, JsonValue]]:
        """The text of a sheet, and the facts for its JSON."""


def run(job: Job, layout: Layout, maker: MakesCells, outputs: Outputs, report: Report) -> None:
    """Make what is missing of a grid.

    Raises:
        UserError: what is wrong with a cell, an extension or the disk; the cells before it are kept.
        Cancelled: `report` raised it.
    """
    saved = {index: outputs.find(job, index) for index in range(layout.pictures)}
    for event in saved.values():
        if event is not None:
            report(event)
    began = time.monotonic()
    told: list[Warned] = []
    done = sum(saved[index] is not None for index in range(len(layout.cells)))
    for index in layout.order():
        if saved[index] is not None:
            continue
        passing = _Passing(report, done, len(layout.cells), began, told)
        try:
            maker.cell(job, layout.cells[index], index, passing.take)
        except Skipped:
            report(Warned.of("warning.skipped", count=1))
        done += 1
    for number in range(layout.sheets):
        index = len(layout.cells) + number
        if saved[index] is None:
            report(StageChanged(stage=Stage.SAVING, batch=done - 1, batches=done))
            report(_sheet(job, layout, number, maker, outputs))


class _Passing:
    """Tells of one cell as of a batch of the whole."""

    def __init__(
        self, report: Report, batch: int, batches: int, began: float, told: list[Warned]
    ) -> None:
        self._report = report
        self._place = {"batch": batch, "batches": batches}
        self._before = time.monotonic() - began
        self._told = told

    def take(self, event: Event) -> None:
        match event:
            case StageChanged():
                event = event.model_copy(update=self._place)
            case StepDone():
                seconds = self._before + event.seconds
                event = event.model_copy(update={**self._place, "seconds": seconds})
            case Warned():
                if event in self._told:  # of many cells it is the same
                    return
                self._told.append(event)
        self._report(event)


def _sheet(
    job: Job, layout: Layout, number: int, maker: MakesCells, outputs: Outputs
) -> ImageSaved:
    index = len(layout.cells) + number
    image = sheet.compose(_table(job, layout, number, outputs), sheet.MAX_PIXELS)
    text, facts = maker.said(job.request)
    return outputs.save(image, job, index, text, made=None, sheet=True, **facts)


def _table(job: Job, layout: Layout, z: int, outputs: Outputs) -> sheet.Table:
    here = [(index, cell) for index, cell in enumerate(layout.cells) if cell.at[2] == z]
    pictures: Mapping[tuple[int, int], Callable[[], Image.Image]] = {
        cell.at[:2]: sheet.opener(outputs.folder / found.path)
        for index, cell in here
        if (found := outputs.find(job, index)) is not None
    }
    sizes = [cell.request.result_size for _, cell in here] or [(64, 64)]
    rows = [layout.y.label(place) for place in range(len(layout.y.labels))]
    return sheet.Table(
        columns=[layout.x.label(place) for place in range(len(layout.x.labels))],
        rows=rows,
        pictures=pictures,
        size=(max(wide for wide, _ in sizes), max(high for _, high in sizes)),
        title=layout.z.label(z),
        flows=layout.flows,
    )
