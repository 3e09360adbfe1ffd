"""The one object that the page, the API and the command line talk to."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from modules.diffusion.samplers import SAMPLERS, Sampler
from modules.diffusion.schedules import SCHEDULES, Schedule
from modules.errors import UserError
from modules.imaging.metadata import request_json
from modules.plugins.manager import ExtensionReport
from modules.schema import Event, GenerationRequest, Job, JobState, Limits, Picture
from modules.services.dispatcher import Dispatcher
from modules.services.generation import Names, resolve
from modules.services.hub import Hub, Progress
from modules.services.jobs import JobStore
from modules.services.models import Models, Scan
from modules.services.outputs import Outputs


class PageExtensions(Protocol):
    """What the page's side asks of `modules.plugins.Plugins`."""

    @property
    def reports(self) -> Sequence[ExtensionReport]: ...
    def check(self, request: GenerationRequest) -> GenerationRequest: ...
    def publish(self, event: Event) -> None: ...


class Studio:
    """Submit, watch, cancel, look at pictures. Every method may be called from any thread; none waits for a picture.

    `client` is who asks: jobs and pictures of a client are shown to and cancelled by that client; None is the
    owner of the installation, who sees everything. Without a dispatcher (another process holds the data folder)
    jobs are only queued.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        hub: Hub,
        outputs: Outputs,
        models: Models,
        plugins: PageExtensions,
        names: Names,
        limits: Limits,
        spool_dir: Path,
        dispatcher: Dispatcher | None = None,
        default_model: str = "",
    ) -> None:
        self.limits = limits
        self.default_model = default_model
        self.samplers: Sequence[Sampler] = SAMPLERS
        self.schedules: Sequence[Schedule] = SCHEDULES
        self._store = store
        self._hub = hub
        self._outputs = outputs
        self._models = models
        self._plugins = plugins
        self._names = names
        self._spool_dir = spool_dir
        self._dispatcher = dispatcher

    # ------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Begin to work through the queue, in the background."""
        self._runner().start()

    def run(self, job_id: int) -> Job:
        """Do one job in this thread; the job as it ended. For the command line."""
        return self._runner().run_one(job_id)

    def tidy(self) -> list[Job]:
        """Clear up after a crash without starting the queue; the jobs that were broken off."""
        return self._runner().tidy()

    def close(self, timeout: float = 8.0) -> None:
        """Stop within about `timeout` seconds; nothing is lost."""
        if self._dispatcher is not None:
            self._dispatcher.close(timeout)
        self._store.close()

    # ------------------------------------------------------------------------------------------- what there is

    def models(self, refresh: bool = False) -> Scan:
        """Models and problems with model files; `refresh` looks into the folders again."""
        return self._models.all(refresh)

    def extensions(self) -> Sequence[ExtensionReport]:
        """What became of each extension."""
        return self._plugins.reports

    # ------------------------------------------------------------------------------------------- jobs

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """The request as it would be run: nothing left open but a random seed.

        Raises:
            UserError: says what is wrong with it.
        """
        request.check(self.limits)
        card = self._models.find(request.model)
        resolved = self._plugins.check(resolve(request, card, self.limits, self._names))
        request_json(resolved)
        return resolved

    def submit(self, request: GenerationRequest, client: str = "") -> Job:
        """Queue a job; what cannot be done is refused here and leaves no row.

        Raises:
            UserError: says what is wrong with the request.
            StorageError: the queue cannot be written.
        """
        job = self._store.submit(self.resolve(request), client)
        self._wake()
        return job

    def job(self, job_id: int, client: str | None = None) -> Job:
        """One job with its pictures.

        Raises:
            UserError: there is none, or it is another client's.
        """
        job = self._store.get(job_id)
        if client is not None and job.client != client:
            raise UserError("error.job.unknown", id=job_id)
        return job

    def jobs(
        self,
        client: str | None = None,
        *,
        states: Iterable[JobState] | None = None,
        newest_first: bool = True,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Job]:
        """Jobs, the newest first unless asked otherwise."""
        return self._store.list(
            states=states, client=client, newest_first=newest_first, limit=limit, offset=offset
        )

    def cancel(self, job_id: int, client: str | None = None) -> Job:
        """Cancel a job: at once when it waits, at its next step when it runs; a finished one stays.

        Raises:
            UserError: there is none, or it is another client's.
        """
        self.job(job_id, client)
        if self._dispatcher is not None:
            return self._dispatcher.cancel(job_id)
        return self._store.cancel(job_id)

    def cancel_queued(self, client: str | None = None) -> int:
        """Cancel all waiting jobs (of one client); how many."""
        count = self._store.cancel_queued(client)
        self._wake()
        return count

    def retry(self, job_id: int, client: str | None = None) -> Job:
        """Queue a failed or cancelled job again: same seed, and pictures that it has are kept.

        Raises:
            UserError: there is none, or it is another client's.
        """
        self.job(job_id, client)
        job = self._store.retry(job_id)
        self._wake()
        return job

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        return self._store.counts()

    # ------------------------------------------------------------------------------------------- watching

    def progress(self, job_id: int) -> Progress:
        """Where a job is, whether it waits, runs or is over.

        Raises:
            UserError: there is no such job.
        """
        live = self._hub.snapshot(job_id)
        job = self._store.get(job_id)
        if live is None or job.state is JobState.QUEUED:
            live = Progress(
                job_id,
                job.state,
                steps=job.request.steps or 0,
                batches=job.request.batch_count,
                fraction=1.0 if job.state is JobState.DONE else 0.0,
                position=self._store.position(job_id),
            )
        return replace(live, state=job.state, saved=len(job.pictures), warnings=job.warnings)

    def preview_file(self, job_id: int) -> Path | None:
        """The newest live preview of a running job."""
        live = self._hub.snapshot(job_id)
        path = self._spool_dir / live.preview if live and live.preview else None
        return path if path and path.is_file() else None

    @property
    def version(self) -> int:
        """Counts up whenever something changed; see `watch`."""
        return self._hub.version

    def watch(self, version: int, timeout: float) -> int:
        """Block until something is newer than `version`, at the most `timeout` seconds; the version now."""
        return self._hub.wait(version, timeout)

    @property
    def problem(self) -> UserError | None:
        """What keeps the queue from moving (a full disk …), to be shown on top of the page; or None."""
        return self._hub.problem

    # ------------------------------------------------------------------------------------------- pictures

    def pictures(
        self, client: str | None = None, limit: int = 100, offset: int = 0
    ) -> Sequence[Picture]:
        """Saved pictures, the newest first."""
        return self._store.pictures(client=client, limit=limit, offset=offset)

    def picture(self, picture_id: int) -> Picture:
        """One picture.

        Raises:
            UserError: there is no such picture.
        """
        return self._store.picture(picture_id)

    def picture_file(self, picture_id: int) -> Path:
        """The file of a picture, certainly inside the outputs folder.

        Raises:
            UserError: there is no such picture, or its file is gone.
        """
        return self._outputs.path_of(self._store.picture(picture_id).path)

    # ------------------------------------------------------------------------------------------- inside

    def _runner(self) -> Dispatcher:
        if self._dispatcher is None:
            raise UserError("error.instance.no_runner")
        return self._dispatcher

    def _wake(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.wake()
        else:
            self._hub.touch()
