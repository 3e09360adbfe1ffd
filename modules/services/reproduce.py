"""Making a saved picture again from what it says of itself, and comparing the two."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, ImageChops

from modules.errors import UserError, cause
from modules.imaging import metadata
from modules.imaging.pictures import open_picture
from modules.schema import Event, GenerationRequest, Job, JobState
from modules.texts import translate


class Remakes(Protocol):
    """`modules.services.generation.GenerationService`."""

    def remake(
        self, job: Job, index: int, report: Callable[[Event], None]
    ) -> tuple[Image.Image, dict[str, str]]: ...
    def read_parameters(
        self, parameters: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]: ...


@dataclass(frozen=True)
class Reason:
    """Why a picture may have come out otherwise: a key of the catalogue and its values."""

    key: str
    values: tuple[tuple[str, str], ...] = ()

    def message(self, language: str = "en") -> str:
        """The text in `language` ("en" or "zh")."""
        return translate(self.key, language, **dict(self.values))


@dataclass(frozen=True)
class Reproduction:
    """What came of it."""

    request: GenerationRequest
    image: Image.Image
    """The picture as it was made now."""
    identical: bool
    """Every pixel is the same."""
    differing: float
    """Share of the pixels that differ, 0 to 1; 1 where the sizes do."""
    largest: int
    """Largest difference of a colour level, 0 to 255."""
    reasons: tuple[Reason, ...]
    """What is not as it was, whether or not it shows in the pixels."""


def reproduce(
    picture: Path, service: Remakes, report: Callable[[Event], None] = lambda event: None
) -> Reproduction:
    """Make the picture in the file `picture` again, as its metadata says, and compare the pixels.

    Nothing is saved. Pictures of other programs are tried as far as their text goes.

    Raises:
        UserError: the file is no picture, says nothing of how it was made, or names what is not here (a model, an
            input picture, an extension).
        Cancelled: `report` raised it.
    """
    with open_picture(picture) as opened:
        said = metadata.decode(opened, service.read_parameters)
        try:
            was = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError("error.picture.read", name=picture.name, why=cause(error)) from error
    request = said.postprocess or said.request
    exact = said.exact or said.postprocess is not None
    if request is None or (not exact and request == GenerationRequest()):
        raise UserError("error.reproduce.nothing", name=picture.name)
    if request.seed < 0:
        raise UserError("error.reproduce.seed", name=picture.name)
    if said.data.get("sheet") is True:
        raise UserError("error.reproduce.sheet", name=picture.name)
    index = said.data.get("index")
    place = index if isinstance(index, int) and 0 <= index < request.pictures else 0
    job = Job(
        id=0,
        uid="0" * 8,
        state=JobState.RUNNING,
        request=request,
        client="",
        attempts=1,
        created=0.0,
    )
    image, facts = service.remake(job, place, report)
    now = image.convert("RGB")
    differing, largest = _difference(was, now)
    return Reproduction(
        request,
        image,
        identical=differing == 0,
        differing=differing,
        largest=largest,
        reasons=tuple(_reasons(said, was, now, facts)),
    )


def _difference(was: Image.Image, now: Image.Image) -> tuple[float, int]:
    if was.size != now.size:
        return 1.0, 255
    worst = ImageChops.difference(was, now)
    red, green, blue = worst.split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    counts = most.histogram()
    largest = max((level for level, count in enumerate(counts) if count), default=0)
    return 1 - counts[0] / (was.width * was.height), largest


def _reasons(
    said: metadata.Decoded, was: Image.Image, now: Image.Image, facts: dict[str, str]
) -> list[Reason]:
    found = []
    if not said.exact and said.postprocess is None:
        found.append(Reason("reproduce.text_only", (("unused", "; ".join(said.unused) or "–"),)))
    if was.size != now.size:
        sizes = (("was", f"{was.width}x{was.height}"), ("now", f"{now.width}x{now.height}"))
        found.append(Reason("reproduce.size", sizes))
    for name, key in (
        ("model_hash", "reproduce.model"),
        ("refiner_hash", "reproduce.refiner"),
        ("vae_hash", "reproduce.vae"),
        ("embedding_hashes", "reproduce.embeddings"),
        ("program", "reproduce.program"),
        ("device", "reproduce.device"),
        ("precision", "reproduce.precision"),
        ("machine", "reproduce.machine"),
        ("torch", "reproduce.torch"),
    ):
        before, after = said.data.get(name), facts.get(name)
        if isinstance(before, str) and after is not None and before != after:
            found.append(Reason(key, (("was", before), ("now", after))))
    return found
