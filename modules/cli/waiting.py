"""The queue as a command of an extension sees it: hand a picture in, have a job done, wait for its pictures."""

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.cli.run import Failed, Run
from modules.errors import UserError
from modules.schema import GenerationRequest, JobState, Postprocess
from modules.schema.options import MAX_TEXT
from modules.settings import Settings

if TYPE_CHECKING:
    from modules.services.front import Studio


@contextlib.contextmanager
def queue_of(settings: Settings) -> Iterator["TerminalQueue"]:
    """The queue for a command; opened when it is first used."""
    with contextlib.ExitStack() as held:
        yield TerminalQueue(settings, held)


class TerminalQueue:
    """`modules.plugins.Queue`: the same queue as the page's, waited for."""

    def __init__(self, settings: Settings, held: contextlib.ExitStack) -> None:
        self._run = Run(argparse.Namespace(json=False), settings)
        self._held = held
        self._studio: Studio | None = None

    def keep(self, data: bytes, name: str) -> Postprocess:
        """See `Queue`."""
        from modules.imaging import metadata

        kept = self._open().inputs.of("cli").add(data, name)
        text = metadata.decode(io.BytesIO(data)).infotext or ""
        return Postprocess(image=kept, name=name[:200], infotext=text[:MAX_TEXT])

    def check_target(self, target: str) -> None:
        """See `Queue`."""
        from modules.services.export import Export

        Export(target)

    def save(self, picture: Path, target: str, stem: str) -> Path:
        """See `Queue`."""
        from modules.services.export import Export

        export = Export(target)
        with tempfile.TemporaryDirectory(prefix="noisette-") as folder:
            named = Path(folder) / f"{stem}{picture.suffix}"
            shutil.copyfile(picture, named)
            return export.save([named])[0]

    def run(self, request: GenerationRequest) -> Sequence[Path]:
        """See `Queue`."""
        from modules.cli.bar import Bar
        from modules.cli.pictures import finish
        from modules.services.instance import InstanceLock

        studio = self._open()
        lock = InstanceLock(self._run.settings.data_dir)
        job = studio.submit(request, "cli")
        with Bar(sys.stderr, False) as bar:
            try:
                job = finish(self._run, studio, lock, job, bar)
            except KeyboardInterrupt:
                studio.cancel(job.id)  # also where another instance has it
                raise
        for warning in job.warnings:
            print(UserError.from_dict(warning).message(self._run.language), file=sys.stderr)
        if job.state is JobState.FAILED:
            raise Failed(UserError.from_dict(job.error or {}))
        if job.state is JobState.CANCELLED:
            raise KeyboardInterrupt
        return [studio.picture_file(picture.id) for picture in job.pictures]

    def _open(self) -> "Studio":
        if self._studio is None:
            self._studio = self._held.enter_context(self._run.studio(in_process=True))
        return self._studio
