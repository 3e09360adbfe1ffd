"""Put a backup in the place of what a data folder remembers, so that a death in the middle loses neither.

1  unpack and check everything beside the data          a death here: nothing has changed
2  write `data/restore.json`: what moves where          from here on it goes forward
3  old files → `data/before-restore-…`, new files in    a death here: `resume` does the rest
4  remove `data/restore.json`
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modules.errors import UserError
from modules.services import backup
from modules.services.backup import BEFORE, DATA, DATABASE, LEFT_OUT, OUTPUTS, Summary
from modules.services.disk import Disk, storage_errors, write_whole
from modules.services.instance import InstanceLock
from modules.services.jobs import JobStore
from modules.settings import FILE_NAME, Settings

PLAN = "restore.json"
_STAGE = ".restoring"

Move = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Restored:
    """What came back, and the folder that holds what was there before (None: nothing was)."""

    summary: Summary
    before: Path | None


def restore(settings: Settings, file: Path, move: Move = os.replace) -> Restored:
    """Replace data and settings by those of a backup; pictures are added to those that are there.

    Raises:
        UserError: the program runs in this data folder, or `file` is no sound backup (nothing has changed then).
        StorageError: the disk refuses.
    """
    folder = settings.data_dir
    with InstanceLock(folder).acquire(), storage_errors(folder):
        resume(folder, move)
        stage = folder / DATA / _STAGE
        shutil.rmtree(stage, ignore_errors=True)  # of an attempt that got no further
        stage.mkdir()
        try:
            with backup.opened(file) as (archive, manifest):
                backup.room_for(manifest, folder)
                backup.extract(archive, manifest, file, stage)
                summary = backup.summary_of(manifest)
            _check(stage)
            _bring_pictures(stage / OUTPUTS, settings.outputs_dir)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        before = f"{BEFORE}{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        plan = {"before": before, "old": _old(folder)}
        write_whole(folder / DATA / PLAN, json.dumps(plan).encode(), Disk())
        resume(folder, move)
    kept = folder / DATA / before
    return Restored(summary, kept if plan["old"] else None)


def resume(folder: Path, move: Move = os.replace) -> bool:
    """Do the rest of a restore that was broken off; whether there was one. For the holder of the folder's lock.

    Raises:
        UserError: the plan of that restore cannot be read.
        OSError: the disk refuses.
    """
    data = folder / DATA
    if not (data / PLAN).exists():
        return False
    try:
        plan = json.loads((data / PLAN).read_text(encoding="utf-8"))
        before, old = data / Path(plan["before"]).name, [Path(name) for name in plan["old"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("error.restore.plan", file=data / PLAN) from error
    if old:
        before.mkdir(exist_ok=True)
    for name in old:
        target = before / name.name
        if not target.exists() and (folder / name).exists():
            move(folder / name, target)
    stage = data / _STAGE
    new = sorted((stage / DATA).iterdir()) if (stage / DATA).is_dir() else []
    for path in new:
        move(path, data / path.name)
    if (stage / FILE_NAME).exists():
        move(stage / FILE_NAME, folder / FILE_NAME)
    Disk().sync_folder(data)
    (data / PLAN).unlink()
    shutil.rmtree(stage, ignore_errors=True)
    return True


def _old(folder: Path) -> list[str]:
    """What makes room, relative to the data folder: all that a backup would hold, and what belongs to it."""
    found = [
        f"{DATA}/{each.name}"
        for each in sorted((folder / DATA).iterdir())
        if each.name not in LEFT_OUT
        and each.name not in (_STAGE, PLAN)
        and not each.name.startswith(BEFORE)
    ]
    return [*found, FILE_NAME] if (folder / FILE_NAME).exists() else found


def _check(stage: Path) -> None:
    """Open what the program will open, before anything is moved."""
    for path in sorted(stage.rglob(f"*{DATABASE}")):
        backup.check_database(path)
    queue = stage / DATA / Settings().database.name
    if queue.exists():
        JobStore(queue).close()  # brings an old one up to date, refuses one of a newer program
    if (stage / FILE_NAME).exists():
        Settings.load({"data_dir": stage}, environ={})


def _bring_pictures(source: Path, target: Path) -> None:
    """Pictures have names of their own: those that are there already are the same and stay."""
    disk = Disk()
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        place = target / path.relative_to(source)
        if path.is_file() and not place.exists():
            write_whole(place, path.read_bytes(), disk)
