"""The one object that the page, the API and the command line talk to."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modules.errors import StorageError, UserError
from modules.imaging import metadata
from modules.imaging.metadata import request_json
from modules.schema import (
    GenerationRequest,
    Job,
    JobState,
    Layout,
    Limits,
    ModelCard,
    Picture,
)
from modules.schema.guests import GuestLimits
from modules.services import postprocessing
from modules.services.dispatcher import Dispatcher
from modules.services.drafts import Drafts
from modules.services.handed_in import HandedIn
from modules.services.hub import Hub, Progress
from modules.services.inputs import InputPictures
from modules.services.jobs import Clients, JobStore, PictureSearch, Totals, draw_seed
from modules.services.journal import JobLog
from modules.services.layouts import Layouts
from modules.services.models import Models
from modules.services.outputs import Outputs
from modules.services.quotas import Quotas
from modules.services.resolving import Lookups, Names, resolve
from modules.services.stock import PageExtensions, Stock
from modules.services.tokens import TokenCounter
from modules.services.vaes import VaeFiles

log = logging.getLogger(__name__)

UNUSED_SECONDS = 7 * 86_400
"""So long an input picture is kept that no job and no draft names."""


class Studio(Stock):
    """Submit, watch, cancel, look at pictures. Every method may be called from any thread; none waits for a picture.

    `client` is who asks: jobs and pictures of a client are shown to and cancelled by that client; several names
    are one person (a visitor on this machine, and the command line); None is the owner of the installation, who
    sees everything. Without a dispatcher (another process holds the data folder) jobs are only queued.
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
        inputs: InputPictures,
        drafts: Drafts,
        vaes: VaeFiles,
        embeddings: Callable[[ModelCard], Mapping[str, int]],
        dispatcher: Dispatcher | None = None,
        default_model: str = "",
        guests: GuestLimits | None = None,
    ) -> None:
        super().__init__(models, plugins, vaes)
        self.limits = limits
        self.default_model = default_model
        self.inputs = HandedIn(inputs, store)
        self.drafts = drafts
        self.embeddings = embeddings
        """Names of a model's textual inversions, with the tokens that each takes."""
        self.tokens = TokenCounter(models.find, embeddings)
        self._store = store
        self._quotas = Quotas(store, guests or GuestLimits())
        self._hub = hub
        self._outputs = outputs
        self._names = names
        self._spool_dir = spool_dir
        self._dispatcher = dispatcher
        self._layouts = Layouts(plugins, self.axes, limits, self._ready)

    # ------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Begin to work through the queue, in the background."""
        self._runner().start()
        self._clean_inputs()

    def run(self, job_id: int) -> Job:
        """Do one job in this thread; the job as it ended. For the command line."""
        return self._runner().run_one(job_id)

    def tidy(self) -> list[Job]:
        """Clear up after a crash without starting the queue; the jobs that were broken off."""
        broken_off = self._runner().tidy()
        self._clean_inputs()
        return broken_off

    def close(self, timeout: float = 8.0) -> None:
        """Stop within about `timeout` seconds; nothing is lost."""
        if self._dispatcher is not None:
            self._dispatcher.close(timeout)
        self._store.close()
        self.drafts.close()

    # ------------------------------------------------------------------------------------------- jobs

    def resolve(self, request: GenerationRequest, client: str) -> GenerationRequest:
        """The request as it would be run for `client`: nothing left open but a random seed.

        Raises:
            UserError: says what is wrong with it; a guest's may name no input picture but his own.
        """
        inputs = self.inputs.of(client)
        inputs.check(request)  # before any extension sees it
        if request.postprocess is not None:
            found = self._plugins.check(postprocessing.resolve(request, inputs.size))
            request_json(found)
            return found
        request.check(self.limits)
        card = self._models.find(request.model)
        lookups = Lookups(
            find_model=self._models.find,
            size_of=inputs.size,
            upscalers=lambda: [row.name for row in self._plugins.upscalers()],
            vae=self._vaes.fitting,
        )
        resolved = self._plugins.check(resolve(request, card, self.limits, self._names, lookups))
        self._plugins.rewritten(resolved, 0).check(
            self.limits
        )  # what cannot be written is said now
        request_json(resolved)
        return resolved

    def words(
        self, request: GenerationRequest, client: str, most: int = 4
    ) -> list[tuple[str, str]]:
        """The prompt and negative prompt of the first `most` pictures, as extensions write them; for a look at them.

        A seed that is still to be drawn counts from 0.

        Raises:
            UserError: says what is wrong with the request.
        """
        resolved = self.resolve(request, client).drawn(lambda: 0)
        count = min(most, resolved.pictures)
        written = [self._plugins.rewritten(resolved, index) for index in range(count)]
        return [(each.prompt, each.negative_prompt) for each in written]

    def submit(self, request: GenerationRequest, client: str = "") -> Job:
        """Queue a job; what cannot be done is refused here and leaves no row.

        Raises:
            UserError: says what is wrong with the request.
            QuotaError: a guest has had his share.
            StorageError: the queue cannot be written.
        """
        (job,) = self.submit_all([request], client)
        return job

    def submit_all(self, requests: Sequence[GenerationRequest], client: str = "") -> Sequence[Job]:
        """Queue several jobs, all or none: what is wrong with one, and what a guest has no share for, is said before.

        Raises:
            UserError, QuotaError, StorageError: as `submit`.
        """
        asked = [self._laid_out(request, client) for request in requests]
        pictures = [
            each
            for resolved, layout in asked
            for each in ([resolved] if layout is None else [cell.request for cell in layout.cells])
        ]
        with self._quotas.taken(client, pictures, len(asked)):
            jobs = self._store.submit_all(asked, client)
        for job in jobs:
            JobLog(log, job.id).event("queued", f"job {job.id} is queued", pictures=job.wanted)
        self._wake()
        return jobs

    def _laid_out(
        self, request: GenerationRequest, client: str
    ) -> tuple[GenerationRequest, Layout | None]:
        """The request as it is queued, its seeds drawn, with its cells where it is a grid."""
        drawn = request.drawn(draw_seed)
        resolved = self.resolve(drawn, client)
        if self._plugins.lays_out(resolved):
            grid = self._layouts.of(drawn, resolved, client)
            if grid is not None:  # its cells alone are made, and each of them has been checked
                return grid.request, grid.layout
        self._check(resolved)
        return resolved, None

    def _ready(self, request: GenerationRequest, client: str) -> GenerationRequest:
        """The request as one picture of a grid is queued."""
        resolved = self.resolve(request.drawn(draw_seed), client)
        self._check(resolved)
        return resolved

    def _check(self, resolved: GenerationRequest) -> None:
        """Let extensions refuse what they can know already; the seeds are drawn, so they see the words that will be."""
        none = resolved.postprocess is not None
        family = "" if none else self._models.find(resolved.model).family
        self._plugins.check_request(resolved, family)

    def layout(self, job_id: int, client: Clients | None = None) -> Layout | None:
        """The grid that a job makes; None for any other job.

        Raises:
            UserError: there is no such job, or it is another client's.
        """
        self.job(job_id, client)
        return self._store.layout(job_id)

    def request_of(self, picture: Picture) -> GenerationRequest:
        """What a picture was asked for with: that of its job, or of its cell where the job is a grid.

        Raises:
            UserError: there is no such job, or the picture's file is gone that would have to say it.
        """
        job = self._store.get(picture.job_id)
        if (
            picture.index >= job.wanted
        ):  # the rows were made again from the files: the file alone knows
            said = metadata.decode(self._outputs.path_of(picture.path))
            return said.request or job.request
        layout = self._store.layout(job.id) if job.cells else None
        if layout is None or picture.index >= len(layout.cells):
            return job.request
        return layout.cells[picture.index].request

    def job(self, job_id: int, client: Clients | None = None) -> Job:
        """One job with its pictures.

        Raises:
            UserError: there is none, or it is another client's.
        """
        job = self._store.get(job_id)
        if client is not None and job.client not in (
            (client,) if isinstance(client, str) else client
        ):
            raise UserError("error.job.unknown", id=job_id)
        return job

    def jobs(
        self,
        client: Clients | None = None,
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

    def cancel(self, job_id: int, client: Clients | None = None) -> Job:
        """Cancel a job: at once when it waits, at its next step when it runs; a finished one stays.

        Raises:
            UserError: there is none, or it is another client's.
        """
        self.job(job_id, client)
        if self._dispatcher is not None:
            return self._dispatcher.cancel(job_id)
        return self._store.cancel(job_id)

    def skip(self, job_id: int, client: Clients | None = None) -> None:
        """Let a running job go on to its next batch; of no effect on one that does not run.

        Raises:
            UserError: there is none, or it is another client's.
        """
        self.job(job_id, client)
        if self._dispatcher is not None:
            self._dispatcher.skip(job_id)

    def unload(self) -> bool:
        """Let go of every loaded model; False while a job runs, which needs its own."""
        return self._dispatcher is not None and self._dispatcher.unload()

    def reload(self) -> None:
        """Load the default model ahead, in the background."""
        if self._dispatcher is not None:
            self._dispatcher.reload()

    def move(self, job_id: int, place: int, client: Clients | None = None) -> Job:
        """Put a waiting job at `place` (0 is next) among the waiting jobs of its client.

        Raises:
            UserError: there is none, it is another client's, or it does not wait.
        """
        self.job(job_id, client)
        job = self._store.move(job_id, place)
        self._wake()
        return job

    def cancel_queued(self, client: Clients | None = None) -> int:
        """Cancel all waiting jobs (of one client); how many."""
        count = self._store.cancel_queued(client)
        self._wake()
        return count

    def retry(self, job_id: int, client: Clients | None = None) -> Job:
        """Queue a failed or cancelled job again: same seed, and pictures that it has are kept.

        Raises:
            UserError: there is none, it is another client's, it neither failed nor was stopped, or an extension
                refuses it by now (the file that it needs is gone).
            QuotaError: a guest has had his share.
        """
        asked = self.job(job_id, client)
        layout = self._store.layout(job_id) if asked.cells else None
        pictures = [asked.request] if layout is None else [each.request for each in layout.cells]
        if asked.state in (JobState.FAILED, JobState.CANCELLED):  # of others the store says why not
            for each in pictures:
                self._check(each)
        with self._quotas.taken(asked.client if client is not None else "", pictures):
            job = self._store.retry(job_id)
        self._wake()
        return job

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        return self._store.counts()

    def totals(self) -> Totals:
        """What was done since this data folder began."""
        return self._store.totals()

    # ------------------------------------------------------------------------------------------- watching

    def progress(self, job_id: int) -> Progress:
        """Where a job is, whether it waits, runs or is over.

        Raises:
            UserError: there is no such job.
        """
        return self.progress_of([self._store.get(job_id)])[job_id]

    def progress_of(self, jobs: Sequence[Job]) -> Mapping[int, Progress]:
        """Where each of these jobs is, by its number; the queue is looked at once for all of them."""
        # The row is older than the word: what it says waits may run by now, and is shown as what it was.
        live = {job.id: self._hub.snapshot(job.id) for job in jobs}
        waiting = [job.id for job in jobs if job.state is JobState.QUEUED]
        positions = self._store.positions(waiting) if waiting else {}
        return {job.id: _progress(job, live[job.id], positions.get(job.id, 0)) for job in jobs}

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
    def ending(self) -> bool:
        """Whether the program is being ended: whoever waits for a job stops, and the job goes on after the next start."""
        return self._hub.ending

    def end_waiting(self) -> None:
        """The program is about to end: whoever watches is woken, and finds `ending` true."""
        self._hub.end_waiting()

    @property
    def problem(self) -> UserError | None:
        """What keeps the queue from moving (a full disk …), to be shown on top of the page; or None."""
        return self._hub.problem

    # ------------------------------------------------------------------------------------------- pictures

    def pictures(
        self,
        client: Clients | None = None,
        limit: int = 100,
        offset: int = 0,
        search: PictureSearch | None = None,
    ) -> Sequence[Picture]:
        """Saved pictures, the newest first."""
        return self._store.pictures(client=client, search=search, limit=limit, offset=offset)

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

    def _clean_inputs(self) -> None:
        """Pictures that people handed in and that nothing needs any more; a full disk is no reason not to start."""
        try:
            used = self._store.input_ids() | self.drafts.input_ids()
            gone = self.inputs.clean(UNUSED_SECONDS, used)
        except StorageError as error:
            self._hub.report_problem(error)
            log.warning("%s", error)
        else:
            if gone:
                log.info("removed %d input pictures that nothing uses", gone)

    def _wake(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.wake()
        else:
            self._hub.touch()


def _progress(job: Job, live: Progress | None, position: int) -> Progress:
    if live is None or job.state is JobState.QUEUED:
        live = Progress(
            job.id,
            job.state,
            steps=job.request.steps or 0,
            batches=job.cells or job.request.batch_count,
            fraction=1.0 if job.state is JobState.DONE else 0.0,
            position=position,
        )
    return replace(live, state=job.state, saved=len(job.pictures), warnings=job.warnings)
