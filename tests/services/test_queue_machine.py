"""The queue under every interleaving of submit, cancel, reorder, work, kill and restart: nothing lost, doubled or stuck."""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from modules.errors import UserError
from modules.schema import GenerationRequest, JobState
from modules.services.jobs import MAX_ATTEMPTS, JobStore
from tests.services.fakes import saved

CLIENTS = ("anna", "bert", "cli")
PICTURES = 2
ASKED = GenerationRequest(prompt="a cat", batch_count=PICTURES, steps=1)


@dataclass
class Known:
    """What must be true of a job."""

    client: str
    place: int
    state: JobState = JobState.QUEUED
    attempts: int = 0
    wish: bool = False
    pictures: set[int] = field(default_factory=set)


class Queue(RuleBasedStateMachine):
    """A plain model of the queue beside the real one: lists and dictionaries instead of SQL."""

    jobs = Bundle("jobs")

    @initialize()
    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "queue.sqlite3"
        self.store = JobStore(self.file)
        self.known: dict[int, Known] = {}
        self.served: list[str] = []
        self.running: int | None = None

    def teardown(self):
        if hasattr(self, "store"):
            self._drain()
            self.store.close()
            self.folder.cleanup()

    # ------------------------------------------------------------------------------------------- people

    @rule(target=jobs, client=st.sampled_from(CLIENTS))
    def submit(self, client):
        job = self.store.submit(ASKED, client)
        assert job.id not in self.known and job.state is JobState.QUEUED
        self.known[job.id] = Known(client, job.id)
        return job.id

    @rule(job=jobs)
    def cancel(self, job):
        found = self.known[job]
        self.store.cancel(job)
        if found.state is JobState.QUEUED:
            found.state = JobState.CANCELLED
        elif found.state is JobState.RUNNING:
            found.wish = True

    @rule(client=st.sampled_from(CLIENTS))
    def cancel_waiting(self, client):
        waiting = self._waiting(client)
        assert self.store.cancel_queued(client) == len(waiting)
        for job in waiting:
            self.known[job].state = JobState.CANCELLED

    @rule(job=jobs, place=st.integers(0, 6))
    def move(self, job, place):
        found = self.known[job]
        if found.state is not JobState.QUEUED:
            with pytest.raises(UserError, match="not waiting"):
                self.store.move(job, place)
            return
        self.store.move(job, place)
        mine = self._waiting(found.client)
        places = [self.known[each].place for each in mine]
        mine.remove(job)
        mine.insert(place, job)
        for each, its_place in zip(mine, places, strict=True):
            self.known[each].place = its_place

    @rule(job=jobs)
    def retry(self, job):
        found = self.known[job]
        if found.state not in (JobState.FAILED, JobState.CANCELLED):
            with pytest.raises(UserError):
                self.store.retry(job)
            return
        self.store.retry(job)
        found.attempts, found.wish, found.state = 0, False, JobState.QUEUED

    # ------------------------------------------------------------------------------------------- the worker

    @precondition(lambda self: self.running is None)
    @rule()
    def claim(self):
        expected = self._next()
        job = self.store.claim("me")
        if expected is None:
            assert job is None
            return
        assert job is not None and job.id == expected and job.state is JobState.RUNNING
        self._take(expected)

    @precondition(lambda self: self.running is not None)
    @rule(index=st.integers(0, PICTURES - 1))
    def save(self, index):
        found = self.known[self.running]
        self.store.add_picture(self.running, saved(index))
        if index not in found.pictures:
            found.attempts = 0
        found.pictures.add(index)

    @precondition(lambda self: self.running is not None)
    @rule(state=st.sampled_from([JobState.DONE, JobState.FAILED, JobState.CANCELLED]))
    def finish(self, state):
        self.store.finish(self.running, state)
        self.known[self.running].state = state
        self.running = None

    @precondition(lambda self: self.running is not None)
    @rule()
    def the_worker_dies(self):
        self.store.interrupted(self.running, "SIGKILL")
        self._interrupted(counts=True)

    @precondition(lambda self: self.running is not None)
    @rule()
    def stop(self):
        self.store.release(self.running)
        self._interrupted(counts=False)

    # ------------------------------------------------------------------------------------------- the machine

    @rule()
    def kill_and_restart(self):
        """The process is gone without a word; the next one recovers."""
        before, self.store = self.store, JobStore(self.file)
        before.close()  # which writes nothing
        recovered = self.store.recover()
        assert [job.id for job in recovered] == ([self.running] if self.running else [])
        self._interrupted(counts=True)

    @rule(job=consumes(jobs))
    def forget(self, job):
        """It is looked at no more, but stays."""

    @invariant()
    def the_rows_are_as_they_must_be(self):
        if not hasattr(self, "store"):
            return
        rows = {job.id: job for job in self.store.list(limit=1000)}
        assert rows.keys() == self.known.keys()
        for number, found in self.known.items():
            row = rows[number]
            assert (row.state, row.attempts, row.client) == (
                found.state,
                found.attempts,
                found.client,
            )
            assert {each.index for each in row.pictures} == found.pictures
            assert len(row.pictures) == len(found.pictures)
            assert (row.finished is not None) == row.state.finished
        states = Counter(found.state for found in self.known.values())
        assert self.store.counts() == {state: states[state] for state in JobState}
        running = [
            number for number, found in self.known.items() if found.state is JobState.RUNNING
        ]
        assert running == ([self.running] if self.running else [])

    @invariant()
    def everybody_is_told_his_place(self):
        if not hasattr(self, "store"):
            return
        order, served = {who: self._waiting(who) for who in CLIENTS}, list(self.served)
        ahead, told = int(self.running is not None), {}
        while (job := self._first(order, served)) is not None:
            told[job] = ahead
            ahead += 1
            order[self.known[job].client].remove(job)
            served.append(self.known[job].client)
        assert self.store.positions(list(told)) == told

    # ------------------------------------------------------------------------------------------- inside

    def _waiting(self, client):
        jobs = [
            number
            for number, found in self.known.items()
            if found.client == client and found.state is JobState.QUEUED
        ]
        return sorted(jobs, key=lambda job: self.known[job].place)

    def _next(self):
        return self._first({client: self._waiting(client) for client in CLIENTS}, self.served)

    def _first(self, order, served):
        """Who was served longest ago; of those that never were, whose first job stands first."""
        waiting = [client for client, mine in order.items() if mine]
        if not waiting:
            return None
        last = {c: max((i for i, s in enumerate(served) if s == c), default=-1) for c in waiting}
        first = [order[c][0] for c in waiting if last[c] == min(last.values())]
        return min(first, key=lambda job: self.known[job].place)

    def _take(self, job):
        found = self.known[job]
        found.state = JobState.RUNNING
        self.served.append(found.client)
        self.running = job

    def _interrupted(self, *, counts):
        if self.running is None:
            return
        job, self.running = self.running, None
        found = self.known[job]
        found.attempts += counts
        if found.wish:
            found.state = JobState.CANCELLED
        elif found.attempts >= MAX_ATTEMPTS:
            found.state = JobState.FAILED
        else:
            found.state = JobState.QUEUED

    def _drain(self):
        """Whatever happened before: what waits is done, each once, and then nothing is left."""
        if self.running is not None:
            self.finish(JobState.DONE)
        waiting = sum(len(self._waiting(client)) for client in CLIENTS)
        for _ in range(waiting):
            self.claim()
            assert self.running is not None
            self.finish(JobState.DONE)
        assert self.store.claim("me") is None
        counts = self.store.counts()
        assert counts[JobState.QUEUED] + counts[JobState.RUNNING] == 0
        self.store.check()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
