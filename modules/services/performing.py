"""One job done, and everything of it told as events, the end included."""

import threading
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from modules.errors import Cancelled, Skipped, UserError
from modules.schema import (
    Event,
    Failed,
    Finished,
    ImageSaved,
    Job,
    Stage,
    StageChanged,
    StepDone,
)


class Generation(Protocol):
    """`modules.services.generation.GenerationService`, or a fake of a test."""

    def run(self, job: Job, report: Callable[[Event], None]) -> None: ...
    def warm_up(self) -> str: ...


def perform(
    generation: Generation,
    job: Job,
    report: Callable[[Event], None],
    stop: threading.Event,
    skip: threading.Event | None = None,
) -> Exception | None:
    """Run one job and tell everything of it to `report`, the end included; the unforeseen error, if there was one.

    A cancelled job stops at the next step or stage; once its pictures are made they are saved all the same. `skip`
    leaves out the batch that is being made, and is cleared.
    """

    def checked(event: Event) -> None:
        if stop.is_set() and _may_stop(event):
            raise Cancelled
        if skip is not None and skip.is_set() and _in_a_batch(event):
            skip.clear()
            raise Skipped
        report(event.model_copy(update={"job_id": job.id}))
        if skip is not None and isinstance(event, ImageSaved):
            skip.clear()  # too late for what is saved, and the next batch was not meant

    try:
        generation.run(job, checked)
    except Cancelled:
        report(Finished(job_id=job.id, cancelled=True))
    except UserError as error:
        report(failed(error, job.id))
    except Exception as error:  # noqa: BLE001  # a fault of ours fails one job; the log has its traceback
        lines = "".join(traceback.format_exception(error))
        report(failed(_words(error), job.id, lines))
        return error
    else:
        report(Finished(job_id=job.id))
    return None


def failed(error: UserError, job_id: int = 0, lines: str | None = None) -> Failed:
    """The end of a job that an error ended; `lines` is the traceback, without it that of what lies behind the error."""
    if lines is None:
        cause = error.__cause__
        lines = "" if cause is None else "".join(traceback.format_exception(cause))
    plain: dict[str, Any] = error.to_dict()
    return Failed(job_id=job_id, error=plain, traceback=lines)


def _may_stop(event: Event) -> bool:
    if isinstance(event, StageChanged):
        return event.stage not in (Stage.FINISHING, Stage.SAVING)
    return isinstance(event, StepDone)


def _in_a_batch(event: Event) -> bool:
    loading = isinstance(event, StageChanged) and event.stage is Stage.LOADING
    return _may_stop(event) and not loading


def _words(error: Exception) -> UserError:
    text = str(error)
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if memory or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return UserError("error.memory")
    if isinstance(error, RecursionError):
        return UserError("error.internal", what="RecursionError")
    return UserError("error.internal", what=f"{type(error).__name__}: {text[:300]}")
