"""Many pictures of one job, each asked for by itself and with its place in a table: a grid."""

from typing import Annotated

from pydantic import Field, model_validator

from modules.schema.options import Group
from modules.schema.request import GenerationRequest

MAX_AXES = 3
Place = Annotated[int, Field(ge=0, description="0-based, along the axis")]


class LayoutAxis(Group):
    """One direction of the table: what changes along it, and what is written at each place."""

    title: str = ""
    title_zh: str = ""
    labels: tuple[str, ...] = Field(min_length=1)

    def label(self, place: int, language: str = "en") -> str:
        """What is written at a place: "Steps 4"."""
        title = (self.title_zh if language == "zh" else "") or self.title
        return f"{title} {self.labels[place]}".strip()


class Cell(Group):
    """One picture: what it is made from, and where it stands."""

    request: GenerationRequest = Field(description="for one picture")
    at: tuple[Place, Place, Place] = Field(default=(0, 0, 0), description="along x, y and z")


class Layout(Group):
    """Cells as they are numbered, read like a page: x is the quickest, z the slowest.

    `flows`: there is one axis, and the cells run on from line to line as words do, each above its label.
    """

    x: LayoutAxis
    y: LayoutAxis = LayoutAxis(labels=("",))
    z: LayoutAxis = LayoutAxis(labels=("",))
    cells: tuple[Cell, ...] = Field(min_length=1)
    flows: bool = False
    sheet: bool = Field(
        default=True, description="one labelled picture of all, for each place on z"
    )

    @model_validator(mode="after")
    def _inside(self) -> "Layout":
        sizes = [len(axis.labels) for axis in (self.x, self.y, self.z)]
        for cell in self.cells:
            if any(place >= size for place, size in zip(cell.at, sizes, strict=True)):
                raise ValueError(f"no place {cell.at} in a table of {sizes}")
            if cell.request.pictures != 1:
                raise ValueError("a cell is one picture")
        if len({cell.at for cell in self.cells}) != len(self.cells):
            raise ValueError("two cells at one place")
        return self

    @property
    def sheets(self) -> int:
        """How many sheets there are: their pictures come after those of the cells."""
        return len(self.z.labels) if self.sheet else 0

    @property
    def pictures(self) -> int:
        """Cells and sheets together."""
        return len(self.cells) + self.sheets

    def label(self, cell: Cell, language: str = "en") -> str:
        """What is different in a cell: "Steps 4, CFG scale 7"."""
        pairs = zip((self.x, self.y, self.z), cell.at, strict=True)
        return ", ".join(filter(None, (axis.label(place, language) for axis, place in pairs)))

    def order(self) -> tuple[int, ...]:
        """The numbers of the cells as they are best made: what is dear to change, changes least often.

        A checkpoint takes longest to load, then the refiner, a VAE, what extensions bring (LoRAs …), and at last another
        prompt that has to be encoded; all else costs nothing. Each is taken in the order in which the table has it.
        """
        keys = [_cost(cell.request) for cell in self.cells]
        ranks = [
            {value: rank for rank, value in enumerate(dict.fromkeys(column))}
            for column in zip(*keys, strict=True)
        ]
        return tuple(
            sorted(
                range(len(self.cells)),
                key=lambda number: tuple(
                    rank[value] for rank, value in zip(ranks, keys[number], strict=True)
                ),
            )
        )


def _cost(request: GenerationRequest) -> tuple[str, ...]:
    """What has to be loaded or encoded anew where it changes, the dearest first."""
    refiner = "" if request.refiner is None else request.refiner.model
    text = (request.prompt, request.negative_prompt, request.clip_skip, request.emphasis)
    return (request.model or "", refiner, request.vae or "", repr(request.extras), repr(text))
