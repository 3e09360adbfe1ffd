"""Saved pictures: where they go, how they are named, and that they are never lost on the way.

The name of a picture follows from its job alone, so a job that is run again after a crash finds what it has
already saved:

    outputs/txt2img/2026-11-22/00042-01-1234567890-1f0c9a3b.png
            kind    day        job   index seed    uid of the job
"""

import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image
from pydantic import JsonValue

from modules.errors import StorageError, UserError
from modules.imaging import metadata
from modules.schema import GenerationRequest, ImageSaved, Job
from modules.services.disk import (
    PART,
    Disk,
    remove_parts,
    storage_error,
    storage_errors,
    write_whole,
)

# What opening a file raises that is no picture of ours; the last two where it claims to be enormous.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    UserError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
TXT2IMG = "txt2img"
POSTPROCESS = "postprocess"


class Outputs:
    """The outputs folder. Safe to use from several processes: each writes under names of its own.

    `rescue_dir` takes a finished picture when the outputs folder does not; `restore` brings it home later. Without
    one it is `data/unsaved` beside the outputs folder.
    """

    def __init__(
        self, outputs_dir: Path, rescue_dir: Path | None = None, disk: Disk | None = None
    ) -> None:
        self.folder = outputs_dir
        self.rescue_dir = rescue_dir or outputs_dir.parent / "data" / "unsaved"
        self._disk = disk or Disk()

    def name(self, job: Job, index: int) -> Path:
        """Where picture `index` (0-based) of a job goes, relative to the outputs folder."""
        day = datetime.fromtimestamp(job.created).date().isoformat()
        return Path(_kind(job), day, _file_name(job, index))

    def save(
        self,
        image: Image.Image,
        job: Job,
        index: int,
        infotext: str,
        *,
        made: GenerationRequest | None = None,
        **facts: JsonValue,
    ) -> ImageSaved:
        """Write one picture with its request in it; when this returns it survives a power cut.

        `made` is the resolved request that the picture was made from, where that is not `job.request`; `facts` go
        into its JSON.

        Raises:
            StorageError: says where the picture was kept instead, or that it could not be kept.
        """
        name = self.name(job, index)
        data = metadata.encode(
            image, made or job.request, infotext, job=job.uid, index=index, **facts
        )
        try:
            write_whole(self.folder / name, data, self._disk)
        except OSError as error:
            raise self._rescue(name, data, error) from error
        return _event(job, index, name, image, infotext)

    def find(self, job: Job, index: int) -> ImageSaved | None:
        """The picture that an earlier attempt at this job saved, or None."""
        for name in self._candidates(job, index):
            path = self.folder / name
            if not path.exists():
                continue
            try:
                with Image.open(path, formats=("PNG",)) as image:
                    image.verify()
                    decoded = metadata.decode(image)
                    if decoded.data.get("job") == job.uid and decoded.data.get("index") == index:
                        return _event(job, index, name, image, decoded.infotext or "")
            except _UNREADABLE:
                continue  # not whole (a disk that lied about fsync): it is made again, under the same name
        return None

    def clean(self) -> int:
        """Remove what a killed process left half-written; how many files. Call it where nobody else saves."""
        with storage_errors(self.folder):
            return remove_parts(self.folder) + remove_parts(self.rescue_dir)

    def restore(self) -> Iterator[tuple[str, ImageSaved]]:
        """Bring rescued pictures home, each with the uid of its job; what cannot be moved yet stays."""
        for path in sorted(self.rescue_dir.rglob("[!.]*.png")):
            name = path.relative_to(self.rescue_dir)
            try:
                data = path.read_bytes()
                found = _described(io.BytesIO(data), name)
                write_whole(self.folder / name, data, self._disk)
                path.unlink()
            except _UNREADABLE:
                continue  # still no room, or no picture: left where it is, nothing is thrown away
            if found is not None:
                yield found.job, found.saved

    def described(self) -> Iterator["Described"]:
        """Every picture of ours in the folder, as it describes itself; other files are passed over."""
        for path in sorted(self.folder.rglob("[!.]*.png")):
            try:
                found = _described(path, path.relative_to(self.folder))
            except _UNREADABLE:
                continue
            if found is not None:
                yield found

    def probe(self) -> None:
        """Try whether the folder takes a file.

        Raises:
            StorageError: it does not; says why.
        """
        probe = self.folder / f".probe-{os.getpid()}{PART}"
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._disk.write(probe, b"x")
            finally:
                probe.unlink(missing_ok=True)

    def path_of(self, name: Path) -> Path:
        """The full path of a picture; it must lie inside the outputs folder and be a file.

        Raises:
            UserError: it does not, or it is gone.
        """
        root = self.folder.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise UserError("error.picture.gone", name=name.name)
        return path

    def _rescue(self, name: Path, data: bytes, cause: OSError) -> StorageError:
        kept = self.rescue_dir / name
        try:
            write_whole(kept, data, self._disk)
        except OSError:
            return storage_error(cause, self.folder)
        found = storage_error(cause, self.folder)
        return StorageError(f"{found.key}.kept", **found.values, kept=kept)

    def _candidates(self, job: Job, index: int) -> Iterator[Path]:
        # The day is local time; a restart in another time zone must still find the picture.
        day = datetime.fromtimestamp(job.created).date()
        for shift in (0, -1, 1):
            yield Path(
                _kind(job), (day + timedelta(days=shift)).isoformat(), _file_name(job, index)
            )


@dataclass(frozen=True)
class Described:
    """A picture as its file describes it: the uid of its job, its row, and what it was made from."""

    job: str
    saved: ImageSaved
    request: GenerationRequest


def remove_old_previews(spool_dir: Path, keep_seconds: float = 0.0) -> None:
    """Remove previews of jobs that are over.

    Raises:
        StorageError: the folder refuses.
    """
    with storage_errors(spool_dir):
        for path in spool_dir.glob("*"):
            if path.is_file() and time.time() - path.stat().st_mtime >= keep_seconds:
                path.unlink(missing_ok=True)


def _described(source: Path | io.BytesIO, name: Path) -> Described | None:
    """Raises: OSError, SyntaxError, ValueError, UserError: it is no picture that can be read."""
    with Image.open(source, formats=("PNG",)) as image:
        decoded = metadata.decode(image)
        size = image.size
    index, job = decoded.data.get("index"), decoded.data.get("job")
    request = decoded.postprocess or decoded.request
    if request is None or not isinstance(index, int) or not isinstance(job, str):
        return None
    # with words of its own, or as a cell of a grid, it was made as if it were a job of its own
    apart = ("asked", "cell", "sheet")
    alone = request.pictures == 1 and any(name in decoded.data for name in apart)
    saved = ImageSaved(
        index=index,
        path=name.as_posix(),
        width=size[0],
        height=size[1],
        seed=request.seed_of(0 if alone else index),
        infotext=decoded.infotext or "",
    )
    return Described(job, saved, request)


def _kind(job: Job) -> str:
    return TXT2IMG if job.request.postprocess is None else POSTPROCESS


def _file_name(job: Job, index: int) -> str:
    return f"{job.id:05d}-{index:02d}-{job.seed_of(index)}-{job.uid}.png"


def _event(job: Job, index: int, name: Path, image: Image.Image, infotext: str) -> ImageSaved:
    return ImageSaved(
        job_id=job.id,
        index=index,
        path=name.as_posix(),
        width=image.width,
        height=image.height,
        seed=job.seed_of(index),
        infotext=infotext,
    )
