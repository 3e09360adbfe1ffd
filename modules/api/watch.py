"""What the page asks again and again: small JSON about the visitor's own jobs, and how long the queue is.

`/ui/state` is cheap and asked several times a second while something runs; `/ui/lists` only when the state says that
a list has changed. Nothing is pushed, so a sleeping phone or a lost connection costs nothing and recovers by itself.
"""

import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from modules.api.face import Visitors
from modules.api.files import number_of
from modules.errors import UserError
from modules.schema import GenerationRequest, Job, JobState, ModelCard, Picture
from modules.services.hub import Progress
from modules.texts import LANGUAGES

if TYPE_CHECKING:
    from modules.services.front import Studio

ACTIVE = (JobState.RUNNING, JobState.QUEUED)
_PAST = 40
_PICTURES = 60
_NO_STORE = {"Cache-Control": "no-store"}


class Asked(BaseModel):
    """A prompt whose tokens are to be counted."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=100_000)
    model: str | None = Field(default=None, max_length=1000)
    negative: bool = False


def watch_routes(studio: "Studio", visitors: Visitors) -> APIRouter:
    """The routes that `script.js` polls, and those that stop a job or do it again."""
    router = APIRouter(prefix="/ui", include_in_schema=False)
    run = secrets.token_hex(8)  # the page reloads itself when another run of the program answers

    @router.get("/state")
    def state(request: Request, since: int = -1) -> JSONResponse:
        version = studio.version
        if version == since:
            return _json({"run": run, "version": version})
        who = visitors.who(request)
        active = studio.jobs(states=ACTIVE, newest_first=False, limit=500)
        own = [job for job in active if job.client in who]
        newest = studio.jobs(client=who, newest_first=True, limit=1)
        job = next((job for job in own if job.state is JobState.RUNNING), None)
        job = job or next(iter(own), None) or next(iter(newest), None)
        pictures = studio.pictures(client=who, limit=1)
        counts = studio.counts()
        now = studio.progress_of([job]) if job is not None and job.state in ACTIVE else {}
        return _json(
            {
                "run": run,
                "version": version,
                "running": counts.get(JobState.RUNNING, 0),
                "queued": counts.get(JobState.QUEUED, 0),
                "job": None if job is None else _job(job, now.get(job.id), who, pictures=True),
                "lists": _mark(active, newest, pictures),
                "problem": _texts(studio.problem),
            }
        )

    @router.get("/lists")
    def lists(request: Request) -> JSONResponse:
        who = visitors.who(request)
        active = sorted(
            studio.jobs(states=ACTIVE, newest_first=False, limit=500),
            key=lambda job: job.state is not JobState.RUNNING,  # else as they wait
        )
        ended = [state for state in JobState if state.finished]
        past = studio.jobs(states=ended, client=who, newest_first=True, limit=_PAST)
        over = {job.id for job in past}  # one may have ended between the two looks
        active = [job for job in active if job.id not in over]
        pictures = studio.pictures(client=who, limit=_PICTURES)
        asked = _requests(studio, pictures, (*active, *past))
        now = studio.progress_of(active)
        return _json(
            {
                "active": [_job(job, now.get(job.id), who) for job in active],
                "past": [_job(job, None, who) for job in past],
                "pictures": [_picture(picture, asked[picture.job_id]) for picture in pictures],
            }
        )

    @router.get("/models")
    def models() -> JSONResponse:
        found = studio.models()
        return _json(
            {
                "cards": {card.name: _card(studio, card) for card in found.cards},
                "problems": [
                    {"path": str(problem.path), "reason": _texts(problem.reason)}
                    for problem in found.problems
                ],
            }
        )

    @router.post("/tokens")
    def tokens(asked: Asked) -> JSONResponse:
        try:
            found = studio.tokens.count(asked.text, asked.model, negative=asked.negative)
        except UserError as error:
            return _json({"used": 0, "room": 0, "error": _texts(error)})
        return _json({"used": found.used, "room": found.room})

    @router.get("/jobs/{job_id}/sheet")
    def sheet(job_id: str, request: Request) -> JSONResponse:
        return _sheet(studio, number_of(job_id) or 0, visitors.who(request))

    @router.post("/jobs/{job_id}/cancel")
    def cancel(job_id: str, request: Request, batch: bool = False) -> JSONResponse:
        """The job; with `batch` what is being made of it now is left out and the rest goes on: Skip."""

        def skip(number: int, who: tuple[str, ...]) -> Job:
            studio.skip(number, who)
            return studio.job(number, who)

        return _done(skip if batch else studio.cancel, job_id, visitors.who(request))

    @router.post("/jobs/{job_id}/retry")
    def retry(job_id: str, request: Request) -> JSONResponse:
        return _done(studio.retry, job_id, visitors.who(request))

    return router


def _done(
    action: Callable[[int, tuple[str, ...]], Job], job_id: str, who: tuple[str, ...]
) -> JSONResponse:
    number = number_of(job_id)
    if not number:
        return _json({"error": _texts(UserError("error.api.job", id=job_id[:20]))}, status=404)
    try:
        return _json({"state": action(number, who).state})
    except UserError as error:
        return _json({"error": _texts(error)}, status=404)


def _sheet(studio: "Studio", job_id: int, who: tuple[str, ...]) -> JSONResponse:
    """The table of a grid: its axes, and of each cell its place and, once there is one, its picture."""
    try:
        job = studio.job(job_id, who)
        layout = studio.layout(job_id, who)
    except UserError as error:
        return _json({"error": _texts(error)}, status=404)
    if layout is None:
        return _json({"error": _texts(UserError("error.api.job", id=job_id))}, status=404)
    made = {picture.index: picture.id for picture in job.pictures}
    return _json(
        {
            "axes": [
                {
                    "title": {"en": axis.title, "zh": axis.title_zh or axis.title},
                    "labels": axis.labels,
                }
                for axis in (layout.x, layout.y, layout.z)
            ],
            "cells": [
                {"at": cell.at, "picture": made.get(number)}
                for number, cell in enumerate(layout.cells)
            ],
            "sheets": [made.get(len(layout.cells) + number) for number in range(layout.sheets)],
            "flows": layout.flows,
        }
    )


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


def _job(
    job: Job, now: Progress | None, who: tuple[str, ...], *, pictures: bool = False
) -> dict[str, Any]:
    """One job for the page; `now` is its progress, for one that waits or runs.

    Of other visitors' jobs it learns no more than that they are there.
    """
    mine = job.client in who
    width, height = job.request.result_size
    shown: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "mine": mine,
        "created": job.created,
        "total": job.wanted,
        "cells": job.cells,
        "width": width if mine else None,
        "height": height if mine else None,
        "saved": len(job.pictures),
        "prompt": _words(job.request)[:500] if mine else None,
        "first": job.pictures[0].id if mine and job.pictures else None,
    }
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
        warnings = [_texts(UserError.from_dict(each)) for each in job.warnings]
        shown |= {"error": _texts(error), "warnings": warnings}
    if pictures and mine:
        # Of a grid whole only its sheets: there may be hundreds of cells, and this is asked often.
        whole = [picture for picture in job.pictures if picture.index >= job.cells]
        shown["pictures"] = [_picture(picture, job.request) for picture in whole]
    return shown


def _words(asked: GenerationRequest) -> str:
    """What a job is called on the page: its prompt, or the file that it works on."""
    return asked.prompt if asked.postprocess is None else asked.postprocess.name


def _picture(picture: Picture, asked: GenerationRequest) -> dict[str, Any]:
    return {
        "id": picture.id,
        "job": picture.job_id,
        "width": picture.width,
        "height": picture.height,
        "seed": picture.seed,
        "infotext": picture.infotext,
        "prompt": _words(asked),
        "source": asked.img2img is not None,
    }


def _requests(
    studio: "Studio", pictures: Iterable[Picture], known: Iterable[Job]
) -> dict[int, GenerationRequest]:
    """What was asked for, by the number of the job."""
    asked = {job.id: job.request for job in known}
    for number in {picture.job_id for picture in pictures} - asked.keys():
        asked[number] = studio.job(number).request
    return asked


def _card(studio: "Studio", card: ModelCard) -> dict[str, Any]:
    return {
        "title": card.title,
        "family": card.family,
        "licence": card.licence,
        "description": card.description,
        "examples": list(card.examples),
        "embeddings": dict(studio.embeddings(card)),
        "width": card.defaults.width,
        "height": card.defaults.height,
    }
