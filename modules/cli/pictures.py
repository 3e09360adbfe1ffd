"""`noisette txt2img` and `noisette img2img`: a job of the same queue as the page's, waited for."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.cli import remote
from modules.cli import request as words
from modules.cli.bar import Bar
from modules.cli.run import INTERRUPTED, OK, POLL_SECONDS, Failed, Run, export_to
from modules.errors import StorageError, UserError
from modules.schema import GenerationRequest, Job, JobState
from modules.services.instance import InstanceLock

if TYPE_CHECKING:
    from modules.services.front import Studio


def txt2img(run: Run) -> int:
    """Make pictures of a prompt."""
    if run.options.server:
        return remote.txt2img(run)
    asked = words.txt2img(run.options)
    return _pictures(run, lambda studio: asked)


def img2img(run: Run) -> int:
    """Make pictures of a picture and a prompt."""
    if run.options.server:
        return remote.img2img(run)
    options = run.options
    return _pictures(
        run,
        lambda studio: words.img2img(options, studio.inputs.of("cli"), studio.model(options.model)),
    )


def _pictures(run: Run, request_of: Callable[["Studio"], GenerationRequest]) -> int:
    options = run.options
    export = export_to(options.output)
    lock = InstanceLock(run.settings.data_dir)
    with run.studio(in_process=True) as studio:
        job = studio.submit(request_of(studio), "cli")
        with Bar(sys.stderr, options.json) as bar:
            try:
                job = finish(run, studio, lock, job, bar)
            except KeyboardInterrupt:
                studio.cancel(job.id)  # also where another instance has it
                raise
        files = [studio.picture_file(picture.id) for picture in job.pictures]
        _report(run, studio, job, export.save(files) if export else files)
    if job.state is JobState.FAILED:
        raise Failed(UserError.from_dict(job.error or {}))
    return OK if job.state is JobState.DONE else INTERRUPTED


def finish(run: Run, studio: "Studio", lock: InstanceLock, job: Job, bar: "Bar") -> Job:
    """Have the job done: by ourselves when the data folder is free, else by the instance that holds it."""
    told = False
    while not job.state.finished:
        try:
            lock.acquire()
        except StorageError:
            raise
        except UserError:
            if not told:
                told = True
                bar.note(run.say("cli.txt2img.waiting", pid=lock.holder().pid or "?", id=job.id))
            time.sleep(POLL_SECONDS)
            job = studio.job(job.id)
            continue
        try:
            studio.tidy()
            with bar.following(studio, job.id):
                job = studio.run(job.id)
        finally:
            lock.release()
    return job


def _report(run: Run, studio: "Studio", job: Job, files: Sequence[Path]) -> None:
    warnings = [UserError.from_dict(each).message(run.language) for each in job.warnings]
    if run.options.json:
        pictures = [
            {
                "file": str(file),
                "seed": picture.seed,
                "width": picture.width,
                "height": picture.height,
            }
            for file, picture in zip(files, job.pictures, strict=True)
        ]
        data: dict[str, Any] = {
            "job": job.id,
            "state": job.state.value,
            "pictures": pictures,
            "request": job.request.model_dump(mode="json"),
            "warnings": warnings,
            "error": UserError.from_dict(job.error).message(run.language) if job.error else None,
        }
        run.print_json(data)
        return
    for warning in warnings:
        print(warning, file=sys.stderr)
    for file in files:
        print(file)
