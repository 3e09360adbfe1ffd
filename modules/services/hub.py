"""What runs right now: the latest word on each job, for whoever watches.

Nothing here outlives the process; what must, stands in the rows. Watching is by version number: `wait(version)`
returns as soon as there is something newer, so that a watcher misses nothing and never polls.
"""

import statistics
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from modules.errors import UserError
from modules.schema import (
    Event,
    Failed,
    Finished,
    ImageSaved,
    InputsKept,
    Job,
    JobState,
    Stage,
    StageChanged,
    StepDone,
    Warned,
)

_KEPT = 100


@dataclass(frozen=True)
class Progress:
    """Where a job is; what a progress bar needs.

    `step` counts within batch `batch` of `batches` (0-based). `fraction` is 0 to 1 over the whole job. `eta` is
    seconds to go, None until two steps were timed. `preview` names a file in the spool folder and
    `preview_number` counts up with each new one. `position` is how many jobs are before a waiting one.
    """

    job_id: int
    state: JobState
    stage: Stage | None = None
    step: int = 0
    steps: int = 0
    batch: int = 0
    batches: int = 1
    fraction: float = 0.0
    eta: float | None = None
    elapsed: float = 0.0
    preview: str | None = None
    preview_number: int = 0
    position: int = 0
    saved: int = 0
    warnings: tuple[Mapping[str, object], ...] = ()
    """`UserError.to_dict()` each."""


class Estimate:
    """Seconds to go, from the measured times of the steps so far; `tail` is what a batch takes after its last step."""

    def __init__(self, tail: float = 0.0) -> None:
        self.tail = tail
        self._recent: deque[float] = deque(maxlen=9)
        self._last: StepDone | None = None

    def add(self, event: StepDone) -> float | None:
        """Take in a step; the seconds to go, or None while that cannot be told."""
        last = self._last
        if last is not None and event.seconds > last.seconds:
            took = event.seconds - last.seconds
            if event.batch == last.batch and event.step > last.step:
                self._recent.append(took / (event.step - last.step))
            elif event.batch == last.batch + 1 and self._recent:
                self.tail = max(0.0, took - statistics.median(self._recent))
        self._last = event
        if not self._recent:
            return None
        batches_after = event.batches - event.batch - 1
        steps_left = event.steps - event.step + batches_after * event.steps
        return steps_left * statistics.median(self._recent) + (batches_after + 1) * self.tail


class Hub:
    """The board on which the dispatcher pins progress. Safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._progress: OrderedDict[int, Progress] = OrderedDict()
        self._estimates: dict[int, Estimate] = {}
        self._tail = 0.0
        self._problem: UserError | None = None
        self._ending = False

    @property
    def version(self) -> int:
        """Counts up with every change."""
        with self._changed:
            return self._version

    @property
    def ending(self) -> bool:
        """Whether the program is being ended: nobody should wait for a job any longer."""
        with self._changed:
            return self._ending

    def end_waiting(self) -> None:
        """Wake everybody who watches, to find `ending` true."""
        with self._changed:
            self._ending = True
            self._notify()

    @property
    def problem(self) -> UserError | None:
        """What keeps the queue from moving (a full disk …), or None."""
        with self._changed:
            return self._problem

    def wait(self, version: int, timeout: float) -> int:
        """Block until something is newer than `version`, at the most `timeout` seconds; the version now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version, timeout)
            return self._version

    def touch(self) -> None:
        """Wake everybody who watches: a row has changed."""
        with self._changed:
            self._notify()

    def report_problem(self, problem: UserError | None) -> None:
        """Say (or no longer say) what keeps the queue from moving."""
        with self._changed:
            if (problem is None) != (self._problem is None):
                self._notify()
            self._problem = problem

    def snapshot(self, job_id: int) -> Progress | None:
        """The latest word on a job, or None if it never ran in this process or long ago."""
        with self._changed:
            return self._progress.get(job_id)

    def begin(self, job: Job) -> None:
        """A job starts to run."""
        with self._changed:
            self._progress[job.id] = Progress(
                job.id,
                JobState.RUNNING,
                steps=job.request.steps or 0,
                batches=job.cells or job.request.batch_count,
                warnings=job.warnings,
            )
            self._estimates[job.id] = Estimate(self._tail)
            while len(self._progress) > _KEPT:
                old, _ = self._progress.popitem(last=False)
                self._estimates.pop(old, None)
            self._notify()

    def apply(self, event: Event) -> None:
        """Take in what happened to a job that has begun."""
        with self._changed:
            now = self._progress.get(event.job_id)
            if now is None:
                return
            self._progress[event.job_id] = self._after(now, event)
            self._notify()

    def end(self, job_id: int, state: JobState) -> None:
        """The row of the job says how it ended."""
        with self._changed:
            now = self._progress.get(job_id)
            if now is not None:
                fraction = 1.0 if state is JobState.DONE else now.fraction
                self._progress[job_id] = replace(
                    now, state=state, eta=None, fraction=fraction, preview=None
                )
            estimate = self._estimates.pop(job_id, None)
            if estimate is not None:
                self._tail = estimate.tail
            self._notify()

    def _after(self, now: Progress, event: Event) -> Progress:
        match event:
            case StageChanged():
                # The steps of the picture before are no steps of this one.
                begins = event.stage is Stage.DENOISING or event.batch != now.batch
                step = 0 if begins else now.step
                return replace(
                    now, stage=event.stage, batch=event.batch, batches=event.batches, step=step
                )
            case StepDone() if event.stage is not Stage.DENOISING:
                # Of a finisher: after the denoising there is no more to say than that it goes on.
                share = (event.batch + event.step / max(1, event.steps)) / max(1, event.batches)
                alone = share >= now.fraction and event.seconds > 0 and share > 0
                return replace(
                    now,
                    stage=event.stage,
                    batch=event.batch,
                    batches=event.batches,
                    fraction=max(now.fraction, share),
                    eta=event.seconds * (1 - share) / share if alone else None,
                    elapsed=event.seconds,
                )
            case StepDone():
                estimate = self._estimates.get(event.job_id)
                return replace(
                    now,
                    stage=Stage.DENOISING,
                    step=event.step,
                    steps=event.steps,
                    batch=event.batch,
                    batches=event.batches,
                    fraction=(event.batch + event.step / max(1, event.steps))
                    / max(1, event.batches),
                    eta=estimate.add(event) if estimate else None,
                    elapsed=event.seconds,
                    preview=event.preview or now.preview,
                    preview_number=now.preview_number + bool(event.preview),
                )
            case ImageSaved():
                return replace(now, saved=now.saved + 1)
            case Warned() if event.warning not in now.warnings:
                return replace(now, warnings=(*now.warnings, event.warning))
            case Warned() | InputsKept() | Finished() | Failed():
                return now  # `end` says it once the row does

    def _notify(self) -> None:
        self._version += 1
        self._changed.notify_all()
