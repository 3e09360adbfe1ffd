"""`/progress`, `/interrupt`, `/skip`, and `/internal/progress`: one's own job, which is the one that a client means."""

import base64
import io
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from PIL import Image

from modules.api.v1.result import timestamp
from modules.api.v1.shapes import Watched
from modules.api.v1.tasks import Tasks
from modules.api.v2.callers import Callers
from modules.errors import UserError
from modules.schema import Job, JobState
from modules.services.hub import Progress

if TYPE_CHECKING:
    from modules.services.front import Studio

_LIVE = (JobState.RUNNING, JobState.QUEUED)


def progress_routes(studio: "Studio", callers: Callers) -> APIRouter:
    """The routes below `/sdapi/v1`."""
    router = APIRouter(tags=["progress"])

    def current(request: Request) -> Job | None:
        """The caller's own job that runs, else the one of his that is next."""
        own = callers.own(request)
        for state in _LIVE:
            for job in studio.jobs(own, states=[state], newest_first=False, limit=1):
                return job
        return None

    @router.get("/progress")
    def progress(
        request: Request,
        skip_current_image: Annotated[bool, Query(description="no preview")] = False,
    ) -> dict[str, Any]:
        """How far one's own job is; nothing of others'."""
        job = current(request)
        if job is None:
            return _idle()
        now = studio.progress_of([job])[job.id]
        return {
            "progress": round(now.fraction, 4),
            "eta_relative": now.eta or 0.0,
            "state": _state(job, now),
            "current_image": None if skip_current_image else preview(studio, job.id),
            "textinfo": _words(now),
        }

    @router.post("/interrupt")
    def interrupt(request: Request) -> dict[str, Any]:
        """Stop the job that `/progress` shows; pictures that are finished stay."""
        job = current(request)
        if job is not None:
            studio.cancel(job.id, callers.own(request))
        return {}

    @router.post("/skip")
    def skip(request: Request) -> None:
        """Go on to the next pictures of the job that runs; with its last ones it ends."""
        job = current(request)
        if job is not None and job.state is JobState.RUNNING:
            studio.skip(job.id, callers.own(request))

    return router


def internal_progress(
    studio: "Studio", tasks: Tasks, client: str, asked: Watched
) -> dict[str, Any]:
    """What `/internal/progress` answers of one task of a client."""
    jobs = [
        job for number in tasks.jobs(client, asked.id_task or "") if (job := _job(studio, number))
    ]
    live = [job for job in jobs if not job.state.finished]
    found: dict[str, Any] = {
        "active": any(job.state is JobState.RUNNING for job in live),
        "queued": bool(live) and all(job.state is JobState.QUEUED for job in live),
        "completed": bool(jobs) and not live,
        "progress": None,
        "eta": None,
        "live_preview": None,
        "id_live_preview": asked.id_live_preview if asked.id_live_preview is not None else -1,
        "textinfo": "Waiting...",
    }
    if not live:
        return found
    job = next((job for job in live if job.state is JobState.RUNNING), live[0])
    now = studio.progress_of([job])[job.id]
    found["textinfo"] = _words(now)
    if job.state is JobState.QUEUED:
        return found
    done = len(jobs) - len(live)
    found |= {"progress": (done + now.fraction) / len(jobs), "eta": now.eta}
    if asked.live_preview is not False and now.preview_number > found["id_live_preview"]:
        image = preview(studio, job.id)
        if image is not None:
            found["live_preview"] = f"data:image/png;base64,{image}"
            found["id_live_preview"] = now.preview_number
    return found


def preview(studio: "Studio", job_id: int) -> str | None:
    """The newest preview of a running job as PNG in base64."""
    path = studio.preview_file(job_id)
    if path is None:
        return None
    try:
        with Image.open(path, formats=("WEBP", "PNG")) as image:
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "PNG", compress_level=1)
    except (OSError, SyntaxError, ValueError):  # it was there a moment ago: the job has gone on
        return None
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _job(studio: "Studio", number: int) -> Job | None:
    try:
        return studio.job(number)
    except UserError:
        return None


def _idle() -> dict[str, Any]:
    state = {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    }
    return {
        "progress": 0.0,
        "eta_relative": 0.0,
        "state": state,
        "current_image": None,
        "textinfo": None,
    }


def _state(job: Job, now: Progress) -> dict[str, Any]:
    return {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": f"Batch {now.batch + 1} out of {now.batches}",
        "job_count": now.batches,
        "job_timestamp": timestamp(job),
        "job_no": now.batch,
        "sampling_step": now.step,
        "sampling_steps": now.steps,
    }


def _words(now: Progress) -> str | None:
    if now.state is JobState.QUEUED:
        return f"In queue: {now.position + 1}"
    return None if now.stage is None else now.stage.value.capitalize()
