"""One thread that takes jobs from the queue, has them done and writes down what happened."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from modules.errors import StorageError, UserError
from modules.schema import (
    Event,
    Failed,
    Finished,
    ImageSaved,
    InputsKept,
    Job,
    JobState,
    Warned,
)
from modules.services.hub import Hub
from modules.services.jobs import JobStore
from modules.services.journal import JobLog
from modules.services.outputs import Outputs, remove_old_previews
from modules.services.worker import Worker, WorkerDied

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0

Publish = Callable[[Event], None]
Settle = Callable[[Job, Event], None]
T = TypeVar("T")


def _nobody(event: Event) -> None:
    """No extension listens."""


def _nothing(job: Job, end: Event) -> None:
    """Nobody keeps count."""


class Dispatcher:
    """Runs the queue. Whoever makes one holds the lock of the data folder: nothing else may run its jobs."""

    def __init__(
        self,
        store: JobStore,
        worker: Worker,
        hub: Hub,
        outputs: Outputs,
        spool_dir: Path,
        publish: Publish = _nobody,
        settle: Settle = _nothing,
    ) -> None:
        self._store = store
        self._worker = worker
        self._hub = hub
        self._outputs = outputs
        self._spool_dir = spool_dir
        self._publish = publish
        self._settle = settle
        self._owner = f"{os.getpid()}"
        self._current: int | None = None
        self._standing: StorageError | None = None
        """What will fail every job until somebody mends it; shown for as long."""
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._watcher: threading.Thread | None = None

    def tidy(self) -> list[Job]:
        """What every start begins with: leftovers removed, rescued pictures brought home, broken-off jobs requeued."""
        for clean in (self._outputs.clean, lambda: remove_old_previews(self._spool_dir)):
            try:
                clean()
            except StorageError as error:
                self._hub.report_problem(error)
                log.warning("%s", error)
        self._look_at_outputs()
        self._bring_home()
        broken_off = list(self._store.recover())
        for job in broken_off:
            JobLog(log, job.id).event(
                "recovered",
                f"job {job.id} was broken off and is {job.state}",
                attempts=job.attempts,
            )
        return broken_off

    def start(self) -> None:
        """Begin to work through the queue in the background; once begun, nothing more happens."""
        if self._thread is not None:
            return
        self.tidy()
        self._worker.start()
        self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)
        self._thread.start()
        self._start_watcher()

    def run_one(self, job_id: int) -> Job:
        """Do one job in this thread, whatever else waits; the job as it ended. For the command line.

        Ctrl-C cancels the job: whoever asked for it is the one who pressed it.
        """
        self._start_watcher()
        job = self._store.claim(self._owner, job_id)
        if job is not None:
            try:
                self._perform(job)
            except KeyboardInterrupt:
                self._store.cancel(job_id)
                self._store.release(job_id)
                raise
        return self._store.get(job_id)

    def wake(self) -> None:
        """There may be something to do: a job was queued or cancelled."""
        self._hub.touch()
        self._wake.set()

    def cancel(self, job_id: int) -> Job:
        """Cancel a job: at once when it waits, at the next step when it runs.

        Raises:
            UserError: there is no such job.
        """
        job = self._store.cancel(job_id)
        if job_id == self._current:
            self._worker.cancel(job_id)
        self.wake()
        return job

    def skip(self, job_id: int) -> None:
        """Let a running job go on to its next batch."""
        if job_id == self._current:
            self._worker.skip(job_id)

    def unload(self) -> bool:
        """Let go of what the worker has loaded; False while it works."""
        return self._worker.unload()

    def reload(self) -> None:
        """Let the worker get ready, in the background."""
        self._worker.start()

    def close(self, timeout: float = 8.0) -> None:
        """Stop within about `timeout` seconds; what runs goes back to the queue and is done after the next start."""
        self._stopping.set()
        self._wake.set()
        current = self._current
        if current is not None:
            self._worker.cancel(current)
        if self._thread is not None:
            self._thread.join(timeout * 0.7)
        self._worker.close(timeout * 0.3 if self._current is None else 0.0)
        for thread in (self._thread, self._watcher):
            if thread is not None:
                thread.join(2.0)

    # ------------------------------------------------------------------------------------------- threads

    def _start_watcher(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
            self._watcher.start()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                job = self._stubborn(lambda: self._store.claim(self._owner))
                if job is not None:
                    # when we stop at this moment the worker refuses, and it is queued again
                    self._perform(job)
                    continue
            except Exception as error:  # a fault of ours must not end the thread: the queue would stand still unseen
                log.exception("the queue")
                what = f"{type(error).__name__}: {error}"[:300]
                self._hub.report_problem(UserError("error.internal", what=what))
                self._stopping.wait(RETRY_SECONDS)
                continue
            self._wake.wait()

    def _watch(self) -> None:
        """Notice what other processes wrote into the database: new jobs, and wishes to cancel."""
        seen, failed = -1, False
        while not self._stopping.wait(POLL_SECONDS):
            try:
                changes = self._store.outside_changes()
                if self._current is not None and self._current in self._store.cancels():
                    self._worker.cancel(self._current)
            except StorageError as error:
                self._hub.report_problem(error)
                failed = True
                continue
            if failed:  # it is over: while nothing is queued nobody else would say so
                failed = False
                self._hub.report_problem(self._standing)
            if changes != seen:
                seen = changes
                self.wake()

    # ------------------------------------------------------------------------------------------- one job

    def _perform(self, job: Job) -> None:
        began, told = time.monotonic(), JobLog(log, job.id)
        self._hub.begin(job)
        self._current = job.id
        told.event("begun", f"job {job.id} is begun", attempts=job.attempts)
        record = _Record(self, job)
        try:
            self._worker.run(job, record.take)
        except WorkerDied as death:
            record.died(death)
        except Exception as error:  # noqa: BLE001  # a fault of ours costs one job, not the queue
            told.exception("job %d", job.id)
            record.broke(error)
        finally:
            self._current = None
        ended = self._stubborn(record.close)
        # When even that could not be written the row stays "running", and the next start takes it up.
        self._hub.end(job.id, ended.state if ended else JobState.FAILED)
        if ended is not None:
            told.event(
                ended.state.value,
                f"job {job.id} is {ended.state}",
                seconds=round(time.monotonic() - began, 3),
                pictures=len(ended.pictures),
                error=ended.error and ended.error.get("key"),
            )
        if record.end is not None:
            self._tell(job, record.end)
        self._look_at_outputs()
        self._bring_home()

    def _tell(self, job: Job, end: Event) -> None:
        """What hears of the end may fail (the count of failures is a file, and the disk may be full): the next job runs."""
        hear: tuple[Callable[[], object], ...] = (
            lambda: self._settle(job, end),
            lambda: self._publish(end),
        )
        for each in hear:
            try:
                each()
            except Exception:  # whatever it is, the job is over and written down
                log.exception("after job %d", job.id)

    def _stubborn(self, action: Callable[[], T]) -> T | None:
        """Write to the database, waiting for room on the disk if need be; None when we stop before it worked."""
        while True:
            try:
                result = action()
            except StorageError as error:
                self._hub.report_problem(error)
                log.error("%s", error)
                if self._stopping.wait(RETRY_SECONDS):
                    return None
            else:
                self._hub.report_problem(self._standing)
                return result

    def _look_at_outputs(self) -> None:
        """Say that pictures cannot be saved before somebody waits for one, and no longer once they can."""
        before, self._standing = self._standing, None
        try:
            self._outputs.probe()
        except StorageError as error:
            self._standing = error
            if before is None:
                log.warning("%s", error)
        if before is not None or self._standing is not None:
            self._hub.report_problem(self._standing)

    def _bring_home(self) -> None:
        try:
            for uid, saved in self._outputs.restore():
                job = self._store.find_uid(uid)
                if job is not None:
                    self._store.add_picture(job.id, saved)
        except (StorageError, OSError) as error:
            log.warning("rescued pictures stay where they are: %s", error)


class _Record:
    """What happened to one job, written down as it happens."""

    def __init__(self, dispatcher: Dispatcher, job: Job) -> None:
        self._dispatcher = dispatcher
        self._store = dispatcher._store
        self._job = job
        self._log = JobLog(log, job.id)
        self._unwritten: list[ImageSaved | InputsKept] = []
        self._death: WorkerDied | None = None
        self.end: Event | None = None

    def take(self, event: Event) -> None:
        """One event of the worker: first the row, then the watchers."""
        match event:
            case ImageSaved() | InputsKept():
                try:
                    self._write(event)
                except StorageError as error:
                    self._log.error("%s", error)
                    self._unwritten.append(event)  # the file is there; the row follows in `close`
                if isinstance(event, InputsKept):
                    return  # nothing to watch
            case Warned():
                try:
                    self._store.warn(self._job.id, event.warning)
                except StorageError as error:
                    self._log.error("%s", error)
            case Finished() | Failed():
                self.end = event
                if isinstance(event, Failed) and event.traceback:
                    self._log.error("job %d failed:\n%s", self._job.id, event.traceback)
                return
        self._dispatcher._hub.apply(event)
        self._dispatcher._publish(event)

    def _write(self, event: ImageSaved | InputsKept) -> None:
        if isinstance(event, ImageSaved):
            self._store.add_picture(self._job.id, event)
        else:
            self._store.hand_in(self._job.client, event.inputs)

    def died(self, death: WorkerDied) -> None:
        """The worker's process is gone."""
        self._death = death
        if not self._dispatcher._stopping.is_set():
            self._log.error(
                "the worker died (%s) during job %d:\n%s",
                death.returncode,
                self._job.id,
                death.tail,
            )

    def broke(self, error: Exception) -> None:
        """We did not understand what the worker told."""
        known = UserError("error.internal", what=f"{type(error).__name__}: {error}"[:300])
        self.end = Failed(job_id=self._job.id, error=_plain(known))

    def close(self) -> Job:
        """Write how it ended; may be called again when the disk refused."""
        while self._unwritten:
            self._write(self._unwritten[0])
            self._unwritten.pop(0)
        job_id = self._job.id
        match self.end:
            case Failed():
                return self._store.finish(job_id, JobState.FAILED, self.end.error)
            case Finished(cancelled=False):
                return self._store.finish(job_id, JobState.DONE)
            case _ if self._dispatcher._stopping.is_set():
                return self._store.release(job_id)  # ours to stop, so not a cancelled job
            case Finished():
                return self._store.finish(job_id, JobState.CANCELLED)
            case _ if self._death is not None:
                return self._store.interrupted(job_id, _manner(self._death.returncode))
        return self._store.finish(job_id, JobState.FAILED, UserError("error.job.silent").to_dict())


def _plain(error: UserError) -> dict[str, Any]:
    return error.to_dict()


def _manner(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"exit {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
