"""`/internal/…`: what pages of the family ask their own server, and some programs with them."""

import platform
import sys
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from modules.api.v1.options import MODEL, VAE
from modules.api.v1.progress import internal_progress
from modules.api.v1.shapes import Watched
from modules.api.v1.tasks import Tasks
from modules.api.v2.answers import Json
from modules.api.v2.callers import Callers
from modules.schema import JobState

if TYPE_CHECKING:
    from modules.services.front import Studio

_SHOWN = 500
_HINTS = {
    MODEL: "Stable Diffusion checkpoint",
    VAE: "SD VAE",
    "CLIP_stop_at_last_layers": "Clip skip",
}


def internal_routes(studio: "Studio", callers: Callers, tasks: Tasks, version: str) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["internal"])
    owner = [Depends(callers.owner)]

    @router.post("/progress")
    def progress(asked: Watched, request: Request) -> dict[str, Any]:
        """How far one's own task is, by the name that was sent as `force_task_id`."""
        return internal_progress(studio, tasks, callers.name(request), asked)

    @router.get("/pending-tasks")
    def pending_tasks(request: Request) -> dict[str, Any]:
        """One's own tasks that wait."""
        waiting = studio.jobs(
            callers.own(request), states=[JobState.QUEUED], newest_first=False, limit=_SHOWN
        )
        names = list(dict.fromkeys(tasks.name(job.id, job.uid) for job in waiting))
        return {"size": len(names), "tasks": names}

    @router.get("/quicksettings-hint")
    def quicksettings_hint() -> list[dict[str, str]]:
        """Settings that a page may put at its top."""
        return [{"name": name, "label": label} for name, label in _HINTS.items()]

    @router.get("/ping")
    def ping() -> dict[str, Any]:
        """It is there."""
        return {}

    @router.get("/profile-startup", dependencies=owner)
    def profile_startup() -> dict[str, Any]:
        """How long the extensions took to start, in seconds."""
        records = {report.name: round(report.seconds, 3) for report in studio.extensions()}
        return {"total": round(sum(records.values()), 3), "records": records}

    def report() -> dict[str, Any]:
        return {
            "Platform": platform.platform(),
            "Python": platform.python_version(),
            "Version": version,
            "Executable": sys.executable,
            "Models": [card.name for card in studio.models().cards],
            "Extensions": [
                {"name": each.name, "version": each.version, "state": each.state}
                for each in studio.extensions()
            ],
            "Jobs": {state.value: count for state, count in studio.counts().items()},
        }

    @router.get("/sysinfo", dependencies=owner)
    def sysinfo() -> dict[str, Any]:
        """A report for who helps; no prompt, no password, no environment."""
        return report()

    @router.get("/sysinfo-download", dependencies=owner)
    def sysinfo_download() -> Response:
        """The same, to be saved."""
        answer = Json(report())
        answer.headers["Content-Disposition"] = 'attachment; filename="sysinfo.json"'
        return answer

    return router
