"""`/api/v2/jobs`: submit, list, look at, follow, move, cancel, do again."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from modules.api.v2.answers import refusals
from modules.api.v2.callers import Callers
from modules.api.v2.events import follow
from modules.api.v2.shapes import CancelledOut, JobOut, JobsOut, Moved
from modules.schema import GenerationRequest, Job, JobState
from modules.services.jobs import Clients

if TYPE_CHECKING:
    from modules.services.front import Studio

MOST = 2**53
Number = Annotated[int, Field(ge=1, le=MOST, description="of the job", examples=[7])]
Limit = Annotated[int, Field(ge=1, le=500, description="how many at the most")]
Offset = Annotated[int, Field(ge=0, le=MOST, description="how many to leave out")]

_REQUESTS = {
    "txt2img": {
        "summary": "A picture of a prompt",
        "value": {"prompt": "a red apple", "steps": 20, "seed": 5},
    },
    "many": {
        "summary": "Four pictures, two at a time, another sampler",
        "value": {
            "prompt": "a blue fish, flat icon",
            "negative_prompt": "text",
            "width": 128,
            "height": 128,
            "sampler": "dpmpp_2m",
            "schedule": "karras",
            "cfg_scale": 4.5,
            "batch_size": 2,
            "batch_count": 2,
        },
    },
}


def job_routes(studio: "Studio", callers: Callers) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])
    Scope = Annotated[Clients | None, Depends(callers.scope)]

    def all_shown(request: Request, jobs: Sequence[Job]) -> list[JobOut]:
        own = callers.own(request)
        now = studio.progress_of([job for job in jobs if not job.state.finished])
        return [JobOut.of(job, now.get(job.id), mine=job.client in own) for job in jobs]

    def shown(request: Request, job: Job) -> JobOut:
        return all_shown(request, [job])[0]

    def act(request: Request, action: Callable[[], Job]) -> JobOut:
        return shown(request, action())

    @router.post("", status_code=202, responses=refusals(400, 404, 413, 422, 429, 503))
    def submit(
        request: Request,
        response: Response,
        asked: Annotated[GenerationRequest, Body(openapi_examples=_REQUESTS)],
    ) -> JobOut:
        """Queue a job: the same request as the page's and the command line's, into the same queue.

        The answer has its id and everything that was left open. What cannot be done is refused here and leaves no
        job. The job goes on whether or not anybody watches.
        """
        job = studio.submit(asked, callers.name(request))
        response.headers["Location"] = f"/api/v2/jobs/{job.id}"
        return shown(request, job)

    @router.get("", responses=refusals(403, 422, 503))
    def listed(
        request: Request,
        scope: Scope,
        state: Annotated[
            list[JobState] | None, Query(description="only jobs in this state")
        ] = None,
        oldest_first: Annotated[bool, Query(description="waiting ones in their order")] = False,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> JobsOut:
        """One's own jobs, the newest first."""
        found = studio.jobs(
            scope, states=state, newest_first=not oldest_first, limit=limit, offset=offset
        )
        return JobsOut(jobs=all_shown(request, found), counts=studio.counts())

    @router.delete("", responses=refusals(403, 503))
    def cancel_waiting(scope: Scope) -> CancelledOut:
        """Cancel all of one's waiting jobs; what runs goes on."""
        return CancelledOut(cancelled=studio.cancel_queued(scope))

    @router.get("/{job_id}", responses=refusals(403, 404, 422, 503))
    def one(request: Request, job_id: Number, scope: Scope) -> JobOut:
        """One job with its progress and its pictures."""
        return shown(request, studio.job(job_id, scope))

    @router.post("/{job_id}/cancel", responses=refusals(403, 404, 422, 503))
    def cancel(request: Request, job_id: Number, scope: Scope) -> JobOut:
        """Cancel a job: at once when it waits, at its next step when it runs; one that is over stays as it is."""
        return act(request, lambda: studio.cancel(job_id, scope))

    @router.post("/{job_id}/retry", responses=refusals(403, 404, 409, 422, 429, 503))
    def retry(request: Request, job_id: Number, scope: Scope) -> JobOut:
        """Queue a failed or cancelled job again: same seed, and pictures that it has are kept."""
        return act(request, lambda: studio.retry(job_id, scope))

    @router.post("/{job_id}/move", responses=refusals(400, 403, 404, 409, 422, 503))
    def move(request: Request, job_id: Number, to: Moved, scope: Scope) -> JobOut:
        """Give a waiting job another place among its client's waiting jobs; those of others keep theirs."""
        return act(request, lambda: studio.move(job_id, to.place, scope))

    @router.get(
        "/{job_id}/preview",
        response_class=Response,
        responses={
            200: {"content": {"image/webp": {}}, "description": "A small picture"},
            204: {"description": "There is none now"},
            **refusals(403, 404, 422, 503),
        },
    )
    def preview(job_id: Number, scope: Scope) -> Response:
        """The newest live preview of a running job."""
        studio.job(job_id, scope)
        path = studio.preview_file(job_id)
        try:
            data = path.read_bytes() if path is not None else b""
        except OSError:  # it was there a moment ago: the job has gone on
            data = b""
        if path is None or not data:
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        kind = "image/webp" if path.suffix == ".webp" else "image/png"
        return Response(data, media_type=kind, headers={"Cache-Control": "no-store"})

    @router.get(
        "/{job_id}/events",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "`progress`, `preview`, `picture` and at last `end`",
                "content": {
                    "text/event-stream": {
                        "schema": {"type": "object", "description": "one event"},
                        "example": 'event: progress\ndata: {"state":"running","step":3,"steps":20}\n\n',
                    }
                },
            },
            **refusals(403, 404, 422, 503),
        },
    )
    def events(
        request: Request,
        job_id: Number,
        scope: Scope,
        previews: Annotated[bool, Query(description="send previews, as base64")] = True,
    ) -> StreamingResponse:
        """Follow a job until it is over, as server-sent events.

        It begins with how things stand, so whoever lost the connection asks again and has missed nothing that lasts.
        Hanging up does not stop the job.
        """
        studio.job(job_id, scope)
        stream = follow(studio, job_id, lambda job: shown(request, job), previews=previews)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    return router
