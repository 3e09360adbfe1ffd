"""A job is a row; a picture is a file plus a row."""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from modules.schema.layout import Layout
from modules.schema.request import GenerationRequest


class JobState(StrEnum):
    """The life of a job. A job that was running when its process died is queued again, once."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Nothing more will happen to it."""
        return self in {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


class Picture(BaseModel):
    """A picture that was saved: where it is and what it was made from."""

    model_config = ConfigDict(frozen=True)

    id: int
    job_id: int
    index: int = Field(description="0-based place in its job")
    path: Path = Field(description="relative to the outputs folder")
    width: int
    height: int
    seed: int
    infotext: str
    created: float = Field(description="seconds since the epoch")


class Job(BaseModel):
    """One row of the queue, as everybody sees it."""

    model_config = ConfigDict(frozen=True)

    id: int
    uid: str = Field(
        description="random, 8 hexadecimal digits; part of the file names of its pictures"
    )
    state: JobState
    request: GenerationRequest = Field(
        description="with the seed drawn at submission, so a re-run is the same"
    )
    client: str = Field(description="who submitted it: a visitor's id, 'cli', …")
    attempts: int
    created: float
    started: float | None = None
    finished: float | None = None
    error: dict[str, JsonValue] | None = Field(default=None, description="UserError.to_dict()")
    warnings: tuple[dict[str, JsonValue], ...] = Field(
        default=(), description="UserError.to_dict() each"
    )
    pictures: tuple[Picture, ...] = ()
    cells: int = Field(default=0, description="of its layout; 0 for a job that is no grid")
    sheets: int = Field(default=0, description="pictures of all cells, which come after theirs")
    layout: Layout | None = Field(
        default=None, description="a grid; only here while the job is run, see `JobStore.layout`"
    )

    @property
    def wanted(self) -> int:
        """How many pictures it makes in all."""
        return self.cells + self.sheets if self.cells else self.request.pictures

    def seed_of(self, index: int) -> int:
        """The seed of picture `index`; a sheet has that of the request."""
        if self.layout is None:
            return self.request.seed_of(index)
        cells = self.layout.cells
        return (cells[index].request if index < len(cells) else self.request).seed_of(0)
