"""Waiting for a job, for answers that hold what it made. The job goes on whether or not anybody waits."""

import asyncio
import base64
import binascii
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from modules.api.face import Visitors
from modules.api.threads import place_lent
from modules.errors import EndingError, UserError
from modules.schema import GenerationRequest, Job, JobState
from modules.services.quotas import QuotaError

if TYPE_CHECKING:
    from modules.services.front import Studio

LOOK_SECONDS = 0.02
RUNNING_SECONDS, WAITING_SECONDS = 0.05, 0.15
"""The least time between two looks at a job's row."""

MOST_WAITING = 100
"""Jobs that routes of extensions wait for at once: each holds a thread."""

ENDING = "error.api.ending"

_DATA = re.compile(r"data:image/[\w.+-]{1,20}(?:;[\w=.+-]{1,40})*;base64,", re.IGNORECASE)
_MOST_HEAD = 120


async def over(studio: "Studio", job_ids: Sequence[int]) -> list[Job]:
    """The jobs once all of them are over; no thread is held while nothing happens.

    Raises:
        EndingError: the program ends before they are.
    """
    done: dict[int, Job] = {}
    seen = -1
    while len(done) < len(job_ids):
        if studio.ending:
            raise EndingError(ENDING)
        version = studio.version
        if version == seen:
            await asyncio.sleep(LOOK_SECONDS)
            continue
        seen = version
        running = False
        for job_id in job_ids:
            if job_id not in done:
                job = await run_in_threadpool(studio.job, job_id)
                running = running or job.state is JobState.RUNNING
                if job.state.finished:
                    done[job_id] = job
        if len(done) < len(job_ids):
            await asyncio.sleep(RUNNING_SECONDS if running else WAITING_SECONDS)
    return [done[job_id] for job_id in job_ids]


def decode_image(text: str) -> bytes:
    """The bytes of a picture as clients send it: base64, with or without `data:image/…;base64,` before it.

    Raises:
        UserError: it is an address, which is not fetched, or no base64.
    """
    head = text[:_MOST_HEAD].lstrip()
    if head[:8].lower().startswith(("http:", "https:", "file:", "ftp:")):
        raise UserError("error.v1.image.address")
    found = _DATA.match(head)
    body = text.lstrip()[found.end() :] if found else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError("error.v1.image.base64") from error


class WaitingQueue:
    """`modules.plugins.ServerQueue`, for the routes of extensions."""

    def __init__(self, studio: "Studio", visitors: Visitors) -> None:
        self._studio = studio
        self._visitors = visitors
        self._lock = threading.Lock()
        self._waiting = 0

    def keep(self, image: str, caller: Request | None = None) -> str:
        """See `ServerQueue`."""
        client = "" if caller is None else self._visitors.client(caller)
        inputs = self._studio.inputs.of(client)
        with place_lent():  # large pictures are decoded one at a time
            return inputs.add(decode_image(image))

    def check(self, name: str, caller: Request) -> None:
        """See `ServerQueue`."""
        self._studio.inputs.of(self._visitors.client(caller)).path(name)

    def run(self, request: GenerationRequest, caller: Request) -> Sequence[Path]:
        """See `ServerQueue`."""
        studio = self._studio
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise QuotaError("error.api.crowd", most=MOST_WAITING)
            self._waiting += 1
        try:
            number = studio.submit(request, self._visitors.client(caller)).id
            with place_lent():
                job = self._ended(number)
        finally:
            with self._lock:
                self._waiting -= 1
        if job.state is JobState.FAILED and job.error is not None:
            raise UserError.from_dict(job.error)
        if job.state is JobState.CANCELLED:
            raise UserError("error.v1.cancelled")
        return [studio.picture_file(picture.id) for picture in job.pictures]

    def _ended(self, number: int) -> Job:
        """The job once it is over; its row is looked at no more often than `over` does."""
        version = -1
        while True:
            if self._studio.ending:
                raise EndingError(ENDING)
            job = self._studio.job(number)
            if job.state.finished:
                return job
            version = self._studio.watch(version, 5.0)
            time.sleep(RUNNING_SECONDS if job.state is JobState.RUNNING else WAITING_SECONDS)
