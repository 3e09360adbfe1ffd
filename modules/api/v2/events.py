"""A job as a stream of server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from fastapi.concurrency import run_in_threadpool

from modules.api.v2.answers import refuse, status_of
from modules.api.v2.shapes import JobOut, PictureOut, ProgressOut
from modules.errors import UserError
from modules.schema import Job, JobState

if TYPE_CHECKING:
    from modules.services.front import Studio

LOOK_SECONDS = 0.05
RUNNING_SECONDS, WAITING_SECONDS = 0.1, 0.5
"""The least time between two looks at a job; who waits learns of his place less often."""
ALIVE_SECONDS = 10.0


async def follow(
    studio: "Studio", job_id: int, shown: Callable[[Job], JobOut], *, previews: bool
) -> AsyncIterator[bytes]:
    """The events of one job until it is over; none holds a thread while nothing happens."""
    told = _Told(studio, job_id, shown, previews)
    seen, spoke = -1, time.monotonic()
    yield b"retry: 2000\n\n"
    while not told.over and not studio.ending:  # who asks again is answered after the next start
        version = studio.version
        if version == seen:
            if time.monotonic() - spoke > ALIVE_SECONDS:
                spoke = time.monotonic()
                yield b": alive\n\n"  # a proxy closes what says nothing
            await asyncio.sleep(LOOK_SECONDS)
            continue
        seen = version
        for event in await run_in_threadpool(told.news):
            spoke = time.monotonic()
            yield event
        await asyncio.sleep(RUNNING_SECONDS if told.running else WAITING_SECONDS)


class _Told:
    """What this watcher knows already."""

    def __init__(
        self, studio: "Studio", job_id: int, shown: Callable[[Job], JobOut], previews: bool
    ) -> None:
        self.over = False
        self.running = False
        self._studio = studio
        self._job_id = job_id
        self._shown = shown
        self._previews = previews
        self._progress: ProgressOut | None = None
        self._pictures = 0

    def news(self) -> list[bytes]:
        """What has happened since the last call."""
        try:
            return list(self._look())
        except UserError as error:  # a disk that refuses: said, and the watcher may ask again
            self.over = True
            return [_event("error", json.loads(bytes(refuse(error, status_of(error)).body)))]

    def _look(self) -> list[bytes]:
        job = self._studio.job(self._job_id)
        found: list[bytes] = []
        before = self._progress
        now = ProgressOut.of(self._studio.progress_of([job])[job.id])
        self.running = now.state is JobState.RUNNING
        if now != before:
            self._progress = now
            found.append(_event("progress", now.model_dump(mode="json")))
            if self._previews and now.preview and (before is None or before.preview != now.preview):
                found += self._preview(now.preview)
        for picture in job.pictures[self._pictures :]:
            found.append(_event("picture", PictureOut.of(picture).model_dump(mode="json")))
        self._pictures = len(job.pictures)
        if job.state.finished:
            self.over = True
            found.append(_event("end", self._shown(job).model_dump(mode="json")))
        return found

    def _preview(self, number: int) -> list[bytes]:
        path = self._studio.preview_file(self._job_id)
        try:
            data = path.read_bytes() if path else b""
        except OSError:  # the job has gone on
            return []
        if not path or not data:
            return []
        kind = "image/webp" if path.suffix == ".webp" else "image/png"
        text = base64.b64encode(data).decode()
        return [_event("preview", {"number": number, "media_type": kind, "data": text})]


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode("ascii")
