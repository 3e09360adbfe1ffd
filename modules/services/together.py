"""Several requests that were asked for at once: all of them are queued, or none."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from modules.errors import UserError
from modules.schema import GenerationRequest, Job


class Queue(Protocol):
    """What is asked of `modules.services.front.Studio`."""

    def submit(self, request: GenerationRequest, client: str = "") -> Job: ...
    def cancel(self, job_id: int) -> Job: ...


def submit_all(queue: Queue, requests: Iterable[GenerationRequest], client: str) -> Sequence[Job]:
    """Queue them; when one is refused, such as by a guest's quota, those before it are cancelled.

    Raises:
        UserError: what is wrong with the one that was refused.
    """
    jobs: list[Job] = []
    try:
        for request in requests:
            jobs.append(queue.submit(request, client))
    except UserError:
        for job in jobs:
            queue.cancel(job.id)
        raise
    return jobs
