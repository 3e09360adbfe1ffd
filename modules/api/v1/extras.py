"""`/extra-single-image`, `/extra-batch-images`, `/png-info`, `/interrogate`: what begins with finished pictures."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import JsonValue

from modules.api.threads import Aside
from modules.api.v1.result import check_ended, encoded
from modules.api.v1.shapes import Extras, ExtrasBatch, ExtrasSingle, Interrogate, PngInfo
from modules.api.v2.callers import Callers
from modules.api.waiting import decode_image, over
from modules.errors import UserError
from modules.imaging import infotext, metadata
from modules.plugins.scripts import Called, Scripts
from modules.schema import GenerationRequest, Job, JobState, Postprocess
from modules.schema.options import MAX_TEXT

if TYPE_CHECKING:
    from modules.services.front import Studio

CAPTION = "Caption"
"""Where a captioning extension puts its words, in the text of the job's picture."""


def extras_routes(
    studio: "Studio", callers: Callers, scripts: Scripts, decoding: Aside
) -> APIRouter:
    """The routes; `decoding` is where pictures are read that are sent along."""
    router = APIRouter(tags=["finished pictures"])

    def serving(part: Any) -> Called:
        called = scripts.serving(part)
        if called is None:
            raise UserError("error.v1.nobody", part=UserError(f"v1.part.{part}"))
        return called

    def queued(
        called: Called, args: Mapping[str, JsonValue], pictures: list[tuple[str, str]], client: str
    ) -> list[int]:
        inputs = studio.inputs.of(client)
        options = scripts.read(called, args, lambda image: inputs.add(decode_image(image)))
        if options is None:
            raise UserError("error.postprocess.nothing")
        extras = {called.extension: dict(options)}
        whole = []
        for image, name in pictures:
            data = decode_image(image)
            text = metadata.decode(io.BytesIO(data)).infotext or ""
            given = Postprocess(image=inputs.add(data), name=name[:200], infotext=text[:MAX_TEXT])
            whole.append(GenerationRequest(postprocess=given, extras=extras))
        return [job.id for job in studio.submit_all(whole, client)]

    async def done(
        request: Request, part: Any, args: Mapping[str, JsonValue], pictures: list[tuple[str, str]]
    ) -> list[Job]:
        called = serving(part)
        client = callers.name(request)
        numbers = await decoding(lambda: queued(called, args, pictures, client))
        jobs = await over(studio, numbers)
        check_ended(jobs)
        if any(job.state is JobState.CANCELLED for job in jobs):
            raise UserError("error.v1.cancelled")
        return jobs

    async def extras(
        request: Request, body: Extras, pictures: list[tuple[str, str]]
    ) -> tuple[list[str], str]:
        args = body.model_dump(exclude={"image", "imageList"})
        jobs = await done(request, "extras", args, pictures)

        def read() -> list[str]:
            return [encoded(studio, picture, ".png") for job in jobs for picture in job.pictures]

        images = await run_in_threadpool(read)
        if not body.show_extras_results:
            images = []
        return images, _html(jobs)

    @router.post("/extra-single-image")
    async def extra_single_image(body: ExtrasSingle, request: Request) -> dict[str, Any]:
        """One picture, enlarged."""
        if not body.image:
            raise UserError("error.v1.image.none")
        images, html = await extras(request, body, [(body.image, "")])
        return {"html_info": html, "image": images[0] if images else ""}

    @router.post("/extra-batch-images")
    async def extra_batch_images(body: ExtrasBatch, request: Request) -> dict[str, Any]:
        """Several, all or none."""
        if not body.imageList:
            raise UserError("error.v1.image.none")
        pictures = [(each.data, each.name) for each in body.imageList]
        images, html = await extras(request, body, pictures)
        return {"html_info": html, "images": images}

    @router.post("/png-info")
    def png_info(body: PngInfo) -> dict[str, Any]:
        """What a picture says of itself."""
        if not body.image.strip():
            raise UserError("error.v1.image.none")
        found = metadata.decode(io.BytesIO(decode_image(body.image)))
        text = found.infotext or ""
        read = infotext.read(text)
        said: dict[str, Any] = dict(read.parameters)
        if text:
            said = {"Prompt": read.prompt, "Negative prompt": read.negative_prompt, **said}
        return {"info": text, "items": {"parameters": text} if text else {}, "parameters": said}

    @router.post("/interrogate")
    async def interrogate(body: Interrogate, request: Request) -> dict[str, str]:
        """Words for a picture, by a model that somebody has installed."""
        if not body.image:
            raise UserError("error.v1.image.none")
        args: dict[str, JsonValue] = {"model": body.model or "clip"}
        (job,) = await done(request, "caption", args, [(body.image, "")])
        texts = [infotext.read(picture.infotext).parameters for picture in job.pictures]
        return {"caption": texts[0].get(CAPTION, "") if texts else ""}

    return router


def _html(jobs: list[Job]) -> str:
    """Plain words; no markup is needed, and none of what a picture's text says can become one."""
    count = sum(len(job.pictures) for job in jobs)
    seconds = sum((job.finished or 0.0) - (job.started or 0.0) for job in jobs)
    return f"<p>{count} &middot; {max(0.0, seconds):.1f} s</p>"
