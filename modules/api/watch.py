"""What the page asks again and again: small JSON about the visitor's own jobs, and how long the queue is.

`/ui/state` is cheap and asked several times a second while something runs; `/ui/lists` only when the state says that
a list has changed. Nothing is pushed, so a sleeping phone or a lost connection costs nothing and recovers by itself.
"""

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from modules.api.face import Visitors
from modules.errors import UserError
from modules.schema import Job, JobState, ModelCard, Picture
from modules.texts import LANGUAGES

if TYPE_CHECKING:
    from modules.services.front import Studio

ACTIVE = (JobState.RUNNING, JobState.QUEUED)
_PAST = 40
_PICTURES = 60
_NO_STORE = {"Cache-Control": "no-store"}


def watch_routes(studio: "Studio", visitors: Visitors) -> APIRouter:
    """The routes that `script.js` polls, and the one that stops a job."""
    router = APIRouter(prefix="/ui", include_in_schema=False)
    run = secrets.token_hex(8)  # the page reloads itself when another run of the program answers

    @router.get("/state")
    def state(request: Request, since: int = -1) -> JSONResponse:
        version = studio.version
        if version == since:
            return _json({"run": run, "version": version})
        visitor = visitors.of(request.cookies)
        active = studio.jobs(states=ACTIVE, newest_first=False, limit=500)
        own = [job for job in active if job.client == visitor]
        newest = studio.jobs(client=visitor, newest_first=True, limit=1)
        job = next((job for job in own if job.state is JobState.RUNNING), None)
        job = job or next(iter(own), None) or next(iter(newest), None)
        pictures = studio.pictures(client=visitor, limit=1)
        counts = studio.counts()
        return _json(
            {
                "run": run,
                "version": version,
                "running": counts.get(JobState.RUNNING, 0),
                "queued": counts.get(JobState.QUEUED, 0),
                "job": None if job is None else _job(studio, job, visitor, pictures=True),
                "lists": _mark(active, newest, pictures),
                "problem": _texts(studio.problem),
            }
        )

    @router.get("/lists")
    def lists(request: Request) -> JSONResponse:
        visitor = visitors.of(request.cookies)
        active = sorted(
            studio.jobs(states=ACTIVE, newest_first=False, limit=500),
            key=lambda job: (job.state is not JobState.RUNNING, job.id),
        )
        ended = [state for state in JobState if state.finished]
        past = studio.jobs(states=ended, client=visitor, newest_first=True, limit=_PAST)
        pictures = studio.pictures(client=visitor, limit=_PICTURES)
        prompts = _prompts(studio, pictures, (*active, *past))
        return _json(
            {
                "active": [_job(studio, job, visitor) for job in active],
                "past": [_job(studio, job, visitor) for job in past],
                "pictures": [
                    {**_picture(picture), "prompt": prompts.get(picture.job_id, "")}
                    for picture in pictures
                ],
            }
        )

    @router.get("/models")
    def models() -> JSONResponse:
        found = studio.models()
        return _json(
            {
                "cards": {card.name: _card(card) for card in found.cards},
                "problems": [
                    {"path": str(problem.path), "reason": _texts(problem.reason)}
                    for problem in found.problems
                ],
            }
        )

    @router.get("/extensions")
    def extensions() -> JSONResponse:
        return _json(
            {
                "extensions": [
                    {
                        "name": report.name,
                        "title": {"en": report.title, "zh": report.title_zh or report.title},
                        "version": report.version,
                        "state": str(report.state),
                        "reason": _texts(report.reason),
                    }
                    for report in studio.extensions()
                ]
            }
        )

    @router.post("/jobs/{job_id}/cancel")
    def cancel(job_id: int, request: Request) -> JSONResponse:
        if not 0 < job_id < 2**53:
            return _json({"error": _texts(UserError("error.api.job", id=job_id))}, status=404)
        try:
            job = studio.cancel(job_id, visitors.of(request.cookies))
        except UserError as error:
            return _json({"error": _texts(error)}, status=404)
        return _json({"state": job.state})

    return router


def _json(data: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(data, status_code=status, headers=_NO_STORE)


def _texts(error: UserError | str | None) -> dict[str, str] | None:
    """A text in every language: the page shows the visitor's, also after he has switched."""
    if error is None:
        return None
    if isinstance(error, UserError):
        return {language: error.message(language) for language in LANGUAGES}
    return dict.fromkeys(LANGUAGES, str(error))


def _mark(*lists: Iterable[Job | Picture]) -> str:
    """Differs when what the lists would show differs."""
    pieces = []
    for rows in lists:
        for row in rows:
            state = f"{row.state}{len(row.pictures)}" if isinstance(row, Job) else ""
            pieces.append(f"{row.id}{state}")
        pieces.append("|")
    return ",".join(pieces)


def _job(studio: "Studio", job: Job, visitor: str, *, pictures: bool = False) -> dict[str, Any]:
    """One job for the page. Of other visitors' jobs it learns no more than that they are there."""
    mine = job.client == visitor
    shown: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "mine": mine,
        "created": job.created,
        "total": job.request.pictures,
        "saved": len(job.pictures),
        "prompt": job.request.prompt[:500] if mine else None,
        "first": job.pictures[0].id if mine and job.pictures else None,
    }
    now = studio.progress(job.id) if job.state in ACTIVE else None
    if now is not None:
        shown |= {
            "stage": now.stage,
            "step": now.step,
            "steps": now.steps,
            "batch": now.batch,
            "batches": now.batches,
            "fraction": round(now.fraction, 4),
            "eta": now.eta,
            "preview": now.preview_number if now.preview and mine else None,
            "position": now.position,
        }
    if mine:
        error = UserError.from_dict(job.error) if job.error else None
        shown |= {"error": _texts(error), "warnings": list(job.warnings)}
    if pictures and mine:
        shown["pictures"] = [
            {**_picture(picture), "prompt": job.request.prompt} for picture in job.pictures
        ]
    return shown


def _picture(picture: Picture) -> dict[str, Any]:
    return {
        "id": picture.id,
        "job": picture.job_id,
        "width": picture.width,
        "height": picture.height,
        "seed": picture.seed,
        "infotext": picture.infotext,
    }


def _prompts(studio: "Studio", pictures: Iterable[Picture], known: Iterable[Job]) -> dict[int, str]:
    prompts = {job.id: job.request.prompt for job in known}
    for number in {picture.job_id for picture in pictures} - prompts.keys():
        prompts[number] = studio.job(number).request.prompt
    return prompts


def _card(card: ModelCard) -> dict[str, Any]:
    return {
        "title": card.title,
        "family": card.family,
        "licence": card.licence,
        "description": card.description,
        "examples": list(card.examples),
        "width": card.defaults.width,
        "height": card.defaults.height,
    }
