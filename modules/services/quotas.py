"""What guests have asked for lately, counted in the rows of the queue, so that a restart forgets nothing."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from modules.errors import LimitError, UserError
from modules.schema import GenerationRequest
from modules.schema.guests import GuestLimits
from modules.services.access import GUEST_PREFIX
from modules.services.jobs import JobStore

HOUR, DAY = 3600.0, 86_400.0


class QuotaError(LimitError):
    """A guest has had his share; it says of what, and when there is more."""


class Quotas:
    """Lets guests' jobs through as far as their share goes. The owner has none to keep to.

    One guest at a time is let through, so that two requests at once cannot both take the last place.
    """

    def __init__(
        self, store: JobStore, limits: GuestLimits, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()

    @contextmanager
    def taken(
        self, client: str, requests: Sequence[GenerationRequest], jobs: int = 1
    ) -> Iterator[None]:
        """Around the queueing of so many jobs of `client`: the resolved requests of all, of a grid those of its cells.

        Raises:
            QuotaError: it is a guest's, and one too many.
        """
        if not client.startswith(GUEST_PREFIX):
            yield
            return
        with self._lock:
            self._check(client, requests, jobs)
            yield

    def _check(self, client: str, requests: Sequence[GenerationRequest], jobs: int) -> None:
        most, now = self._limits, self._clock()
        waiting = self._store.unfinished(GUEST_PREFIX)
        own = waiting.get(client, 0)
        _room("jobs_waiting", own, jobs, most.jobs_waiting)
        _room("all_jobs_waiting", sum(waiting.values()), jobs, most.all_jobs_waiting)
        day = list(self._store.asked_since(GUEST_PREFIX, now - DAY))
        mine = [(at, asked) for name, at, asked in day if name == client]
        hour = [asked for at, asked in mine if at > now - HOUR]
        wanted = _pictures(requests)
        _room("pictures_per_hour", _pictures(hour), wanted, most.pictures_per_hour)
        _room(
            "pictures_per_day", _pictures([each for _, each in mine]), wanted, most.pictures_per_day
        )
        work = sum(each.work for each in hour)
        _room(
            "work_per_hour",
            round(work),
            max(1, round(sum(each.work for each in requests))),
            most.work_per_hour,
        )
        every = _pictures([each for _, _, each in day])
        _room("all_pictures_per_day", every, wanted, most.all_pictures_per_day)


def _pictures(asked: Sequence[GenerationRequest]) -> int:
    return sum(each.pictures for each in asked)


def _room(name: str, had: int, wanted: int, most: int) -> None:
    if had + wanted > most:
        raise refusal(name, had, wanted, most)


def refusal(name: str, had: int, wanted: int, most: int) -> QuotaError:
    """What a guest is told of the quota `name`: how much there is room for, or only when to ask again where there is none."""
    key, room = f"error.quota.{name}", max(0, most - had)
    advice = UserError(f"{key}.less", room=room) if room else UserError(f"{key}.later")
    return QuotaError(key, had=had, wanted=wanted, most=most, room=room, advice=advice)
