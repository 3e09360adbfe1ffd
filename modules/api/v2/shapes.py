"""What `/api/v2` answers: the rooms' own words, without what is nobody's business (paths, visitors' ids)."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from modules.errors import UserError
from modules.schema import GenerationRequest, Job, JobState, ModelCard, Picture, Stage
from modules.schema.model_card import ModelDefaults, SizeLimits
from modules.schema.received import Received
from modules.services.hub import Progress
from modules.texts import LANGUAGES

_SAID = {"en": "There is no job 7.", "zh": "没有任务 7。"}
_PICTURE = {
    "id": 12,
    "job": 7,
    "index": 0,
    "width": 128,
    "height": 128,
    "seed": 5,
    "infotext": "a red apple\nSteps: 20, Sampler: Euler, Seed: 5, Size: 128x128",
    "created": 1790000000.0,
    "url": "/api/v2/pictures/12/file",
}
_PROGRESS = {
    "state": "running",
    "stage": "denoising",
    "step": 12,
    "steps": 20,
    "batch": 0,
    "batches": 1,
    "fraction": 0.6,
    "eta": 0.8,
    "position": 0,
    "saved": 0,
    "preview": 4,
}
_JOB = {
    "id": 7,
    "state": "running",
    "request": {"prompt": "a red apple", "seed": 5, "steps": 20},
    "mine": True,
    "attempts": 0,
    "created": 1790000000.0,
    "started": 1790000001.0,
    "finished": None,
    "error": None,
    "warnings": [],
    "pictures": [_PICTURE],
    "progress": _PROGRESS,
}


_MODEL = {
    "name": "pocket",
    "title": "Pocket",
    "family": "sd1",
    "variant": "base",
    "size_bytes": 23000000,
    "defaults": {
        "width": 128,
        "height": 128,
        "steps": 20,
        "cfg_scale": 7.0,
        "sampler": "euler_a",
        "schedule": "default",
    },
    "size_limits": {"minimum": 64, "maximum": 256, "multiple": 16},
    "licence": "MIT",
    "description": {"en": "Small model that ships along."},
    "examples": ["a red apple"],
    "default": True,
}


class Shape(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(frozen=True)


def _with(*examples: Mapping[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, json_schema_extra={"examples": [dict(one) for one in examples]})


class ErrorOut(Shape):
    """Something to show to a person; `key` is for programs and does not change with the language."""

    model_config = _with({"key": "error.job.unknown", "message": _SAID["en"], "messages": _SAID})

    key: str
    message: str = Field(description="in English")
    messages: dict[str, str] = Field(description="by language: en, zh")
    field: str | None = Field(default=None, description="the field of the request that is wrong")

    @classmethod
    def of(cls, error: UserError, field: str | None = None) -> "ErrorOut":
        """The error in every language."""
        messages = {language: error.message(language) for language in LANGUAGES}
        named = error.values.get("field", field)
        return cls(
            key=error.key,
            message=messages["en"],
            messages=messages,
            field=None if named is None else str(named),
        )


class Refusal(Shape):
    """The body of every answer that is not a success."""

    error: ErrorOut


class PictureOut(Shape):
    """One saved picture."""

    model_config = _with(_PICTURE)

    id: int
    job: int
    index: int = Field(description="0-based place in its job")
    width: int
    height: int
    seed: int
    infotext: str
    created: float = Field(description="seconds since the epoch")
    url: str = Field(description="of the file, at this server")

    @classmethod
    def of(cls, found: Picture) -> "PictureOut":
        """Without its place on the disk."""
        return cls(
            id=found.id,
            job=found.job_id,
            index=found.index,
            width=found.width,
            height=found.height,
            seed=found.seed,
            infotext=found.infotext,
            created=found.created,
            url=f"/api/v2/pictures/{found.id}/file",
        )


class ProgressOut(Shape):
    """Where a job is."""

    model_config = _with(_PROGRESS)

    state: JobState
    stage: Stage | None = None
    step: int = Field(description="of `steps`, within batch `batch`")
    steps: int
    batch: int = Field(description="0-based, of `batches`")
    batches: int
    fraction: float = Field(description="0 to 1, over the whole job")
    eta: float | None = Field(description="seconds to go; null while that cannot be told")
    position: int = Field(description="how many jobs are begun before a waiting one")
    saved: int = Field(description="pictures saved so far")
    preview: int | None = Field(description="counts up with each new preview; null without one")

    @classmethod
    def of(cls, now: Progress) -> "ProgressOut":
        """Without the names of files."""
        return cls(
            state=now.state,
            stage=now.stage,
            step=now.step,
            steps=now.steps,
            batch=now.batch,
            batches=now.batches,
            fraction=round(now.fraction, 4),
            eta=now.eta,
            position=now.position,
            saved=now.saved,
            preview=now.preview_number if now.preview else None,
        )


class JobOut(Shape):
    """One job: what was asked for, how far it is, what came of it."""

    model_config = _with(_JOB)

    id: int
    state: JobState
    request: GenerationRequest = Field(description="complete: nothing is left open, the seed drawn")
    mine: bool = Field(description="whether who asks submitted it")
    attempts: int = Field(description="how often its process died without a new picture; 2 end it")
    created: float = Field(description="seconds since the epoch")
    started: float | None
    finished: float | None
    error: ErrorOut | None
    warnings: list[ErrorOut]
    pictures: list[PictureOut]
    progress: ProgressOut | None = Field(description="null once it is over")

    @classmethod
    def of(cls, job: Job, now: Progress | None, *, mine: bool) -> "JobOut":
        """`now` is its progress, for one that waits or runs."""
        return cls(
            id=job.id,
            state=job.state,
            request=job.request,
            mine=mine,
            attempts=job.attempts,
            created=job.created,
            started=job.started,
            finished=job.finished,
            error=None if job.error is None else ErrorOut.of(UserError.from_dict(job.error)),
            warnings=[ErrorOut.of(UserError.from_dict(each)) for each in job.warnings],
            pictures=[PictureOut.of(each) for each in job.pictures],
            progress=None if now is None else ProgressOut.of(now),
        )


class JobsOut(Shape):
    """A piece of a list of jobs."""

    model_config = _with({"jobs": [_JOB], "counts": {"queued": 0, "running": 1, "done": 6}})

    jobs: list[JobOut]
    counts: dict[JobState, int] = Field(description="everybody's jobs by state")


class PicturesOut(Shape):
    """A piece of the gallery."""

    model_config = _with({"pictures": [_PICTURE], "more": False})

    pictures: list[PictureOut]
    more: bool = Field(description="whether there are further ones at `offset` + `limit`")


class Moved(Shape, Received):
    """Where a waiting job is to stand."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"place": 0}]}
    )

    place: int = Field(ge=0, le=1_000_000, description="among one's own waiting jobs; 0 is next")


class CancelledOut(Shape):
    """How many waiting jobs were cancelled."""

    model_config = _with({"cancelled": 3})

    cancelled: int


class InputOut(Shape):
    """A picture that was handed in; `id` is what `img2img.image` and `inpaint.mask` take."""

    model_config = _with({"id": "9f86d081884c7d65" * 4, "width": 512, "height": 512})

    id: str
    width: int
    height: int


class ModelOut(Shape):
    """A checkpoint."""

    model_config = _with(_MODEL)
    name: str
    title: str
    family: str
    variant: str
    size_bytes: int
    defaults: ModelDefaults = Field(description="what a request gets where it says nothing")
    size_limits: SizeLimits
    licence: str
    description: dict[str, str]
    examples: list[str]
    default: bool = Field(description="the one that a request without a model gets")

    @classmethod
    def of(cls, card: ModelCard, default: str) -> "ModelOut":
        """Without its place on the disk."""
        return cls(
            name=card.name,
            title=card.title,
            family=card.family,
            variant=card.variant,
            size_bytes=card.size_bytes,
            defaults=card.defaults,
            size_limits=card.size_limits,
            licence=card.licence,
            description=card.description,
            examples=list(card.examples),
            default=card.name == default,
        )


class ModelsOut(Shape):
    """All checkpoints, and how many files could not be used."""

    model_config = _with({"models": [_MODEL], "problems": 0})

    models: list[ModelOut]
    problems: int = Field(description="files that cannot be used; `noisette models` says why")


class NamesOut(Shape):
    """What a request may name beside a model."""

    model_config = _with(
        {
            "samplers": [{"name": "euler_a", "label": "Euler a"}],
            "schedules": [{"name": "karras", "label": "Karras"}],
            "upscalers": ["Lanczos"],
            "vaes": ["soft.safetensors"],
        }
    )

    samplers: list["NamedOut"]
    schedules: list["NamedOut"]
    upscalers: list[str]
    vaes: list[str]


class NamedOut(Shape):
    """`name` is what a request takes, `label` what people read."""

    name: str
    label: str


class ExtensionOut(Shape):
    """An extension, and what a request may say to it in `extras.<name>`."""

    model_config = _with(
        {
            "name": "glow",
            "title": {"en": "Glow", "zh": "辉光"},
            "version": "1.0",
            "state": "active",
            "options": {"type": "object", "properties": {"enabled": {"type": "boolean"}}},
        }
    )

    name: str
    title: dict[str, str]
    version: str
    state: str
    options: dict[str, JsonValue] | None = Field(description="JSON Schema of its options")


class HealthOut(Shape):
    """How the service is."""

    model_config = _with(
        {"status": "ok", "version": "0.1.0", "running": 1, "queued": 4, "problem": None}
    )

    status: str = Field(description="ok, or degraded while something keeps the queue from moving")
    version: str
    running: int
    queued: int
    problem: ErrorOut | None = Field(description="what keeps the queue from moving: a full disk …")
