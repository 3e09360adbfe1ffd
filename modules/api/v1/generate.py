"""`/txt2img` and `/img2img`: queued like any other request, answered when the pictures are there."""

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import JsonValue

from modules.api.threads import Aside
from modules.api.v1.answers import plain
from modules.api.v1.result import check_ended, encoded, encoded_image, info
from modules.api.v1.shapes import Generate, Generated, Img2Img, Txt2Img
from modules.api.v1.tasks import Tasks
from modules.api.v1.translate import Asked, Translator
from modules.api.v2.callers import Callers
from modules.api.waiting import over
from modules.errors import UserError
from modules.imaging import metadata
from modules.plugins.scripts import Scripts
from modules.schema import Job

if TYPE_CHECKING:
    from modules.services.front import Studio

_PICTURES = ("init_images", "mask", "latent_mask")


def generate_routes(
    studio: "Studio",
    callers: Callers,
    translate: Translator,
    scripts: Scripts,
    tasks: Tasks,
    version: str,
    decoding: Aside,
) -> APIRouter:
    """The routes; `decoding` is where pictures are read that are sent along."""
    router = APIRouter(tags=["pictures"])

    def queued(body: Generate, request: Request) -> tuple[Asked, list[int]]:
        client = callers.name(request)
        asked = translate(body, client)
        jobs = [job.id for job in studio.submit_all(asked.requests, client)]
        if body.force_task_id:
            tasks.add(client, body.force_task_id, tuple(jobs))
        return asked, jobs

    def answered(body: Generate, asked: Asked, jobs: list[Job]) -> Generated:
        check_ended(jobs)
        images: list[str] = []
        if body.send_images is not False:
            images = [encoded(studio, each, asked.suffix) for job in jobs for each in job.pictures]
            images += _more(studio, asked, jobs[0], scripts)
        echo = plain(body.model_dump())
        if not getattr(body, "include_init_images", False):
            echo |= {name: None for name in _PICTURES if name in echo}
        return Generated(images=images, parameters=echo, info=info(jobs, asked.warnings, version))

    async def answer(body: Generate, request: Request) -> Generated:
        if isinstance(body, Img2Img) or body.alwayson_scripts or body.script_name:
            asked, numbers = await decoding(lambda: queued(body, request))
        else:
            asked, numbers = await run_in_threadpool(queued, body, request)
        jobs = await over(studio, numbers)
        return await run_in_threadpool(answered, body, asked, jobs)

    @router.post("/txt2img")
    async def txt2img(body: Txt2Img, request: Request) -> Generated:
        """Pictures of a prompt. The job goes on when the client hangs up."""
        return await answer(body, request)

    @router.post("/img2img")
    async def img2img(body: Img2Img, request: Request) -> Generated:
        """Pictures that begin with others, in whole or where a mask is white."""
        return await answer(body, request)

    return router


def _more(studio: "Studio", asked: Asked, job: Job, scripts: Scripts) -> list[str]:
    """The pictures of scripts that have some; one that fails is a warning, as the job's own are there."""
    found: list[str] = []
    for called in asked.called if asked.detected_maps else ():
        options = job.request.extras.get(called.extension)
        if called.script.images and options is not None:
            try:
                own = called.options.model_validate(options)
                kept = receipt(studio, job, called.extension)
                found += [encoded_image(image) for image in scripts.images(called, own, kept)]
            except UserError as error:
                asked.warnings.append(error)
    return found


def receipt(studio: "Studio", job: Job, extension: str) -> JsonValue:
    """What an extension kept in the first picture."""
    if not job.pictures:
        return None
    receipts = metadata.decode(studio.picture_file(job.pictures[0].id)).data.get("receipts")
    return receipts.get(extension) if isinstance(receipts, dict) else None
