"""What happens during a job: small messages that cross from the worker's process to the page's as JSON."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from modules.errors import UserError


class Stage(StrEnum):
    """Where a job is."""

    LOADING = "loading"
    ENCODING = "encoding"
    PREPARING = "preparing"
    DENOISING = "denoising"
    UPSCALING = "upscaling"
    DECODING = "decoding"
    FINISHING = "finishing"
    SAVING = "saving"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    job_id: int = 0


class StageChanged(_Event):
    """The job enters `stage` for batch `batch` of `batches`."""

    type: Literal["stage"] = "stage"
    stage: Stage
    batch: int = 0
    batches: int = 1


class StepDone(_Event):
    """One step of `stage` is done; `preview` names an image file in the spool folder when there is a new one."""

    type: Literal["step"] = "step"
    stage: Stage = Stage.DENOISING
    step: int = Field(description="1-based, within this batch")
    steps: int
    batch: int = 0
    batches: int = 1
    seconds: float = Field(default=0.0, description="since the job began")
    preview: str | None = None


class ImageSaved(_Event):
    """Picture `index` is on disk under its final name."""

    type: Literal["image"] = "image"
    index: int
    path: str = Field(description="relative to the outputs folder")
    width: int
    height: int
    seed: int
    infotext: str


class InputsKept(_Event):
    """Extensions keep pictures of their making beside those that were handed in: whoever asked for the job has them."""

    type: Literal["kept"] = "kept"
    inputs: tuple[str, ...]


class Warned(_Event):
    """Something the user should know although the job goes on; kept with the job."""

    type: Literal["warning"] = "warning"
    warning: dict[str, JsonValue] = Field(
        description="UserError.to_dict(): a text in each language"
    )

    @classmethod
    def of(cls, key: str, **values: object) -> Self:
        """The text of `key` with its values; see `UserError`."""
        return cls.model_validate({"warning": UserError(key, **values).to_dict()})

    @property
    def text(self) -> str:
        """In English."""
        return UserError.from_dict(self.warning).message()


class Finished(_Event):
    """The job is over: done, or cancelled when asked to stop."""

    type: Literal["finished"] = "finished"
    cancelled: bool = False


class Failed(_Event):
    """The job ended in an error; `error` is `UserError.to_dict()`, `traceback` is for the log."""

    type: Literal["failed"] = "failed"
    error: dict[str, JsonValue]
    traceback: str = ""


Event = Annotated[
    StageChanged | StepDone | ImageSaved | InputsKept | Warned | Finished | Failed,
    Field(discriminator="type"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def event_from_dict(data: object) -> Event:
    """Parse one message.

    Raises:
        pydantic.ValidationError: when it is none.
    """
    return _EVENT.validate_python(data)
