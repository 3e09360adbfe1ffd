"""Installing, updating and removing extensions: look first, then an explicit yes, then one step.

`prepare` fetches into a staging folder and says everything that a person needs to decide; nothing of the extension is
run or imported for it. Only `install` with that very preview changes anything, and `rollback` takes it back.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock

from modules.errors import ExtensionError
from modules.plugins.install import git, packages
from modules.plugins.install.files import File, copy_folder, digest_of, listing, unpack_zip
from modules.plugins.install.packages import Package
from modules.plugins.install.shelf import Shelf
from modules.plugins.manager import Plugins
from modules.plugins.manifest import Manifest
from modules.plugins.requirements import missing
from modules.plugins.switches import Origin
from modules.services.disk import storage_errors

log = logging.getLogger(__name__)

_MOST_WAITING = 8


@dataclass(frozen=True)
class Preview:
    """What would be installed; `id` names it to `install` and `discard`."""

    id: str
    manifest: Manifest
    kind: Literal["folder", "zip", "git"]
    source: str
    commit: str
    digest: str
    files: tuple[File, ...]
    packages: tuple[Package, ...]
    """Python packages that would be installed beside it; what is here already is not named."""
    version_before: str
    """Of the one that it would replace; empty for a new one."""
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class Extensions:
    """What a person at this machine may do with the extensions. Every method may be called from any thread.

    Args:
        plugins: those that are loaded; they follow each change.
        schemes: of git addresses; tests allow a folder as one.
    """

    def __init__(
        self,
        plugins: Plugins,
        schemes: Sequence[str] = git.SCHEMES,
        shelf: Shelf | None = None,
    ) -> None:
        folder = self._folder = plugins.folder
        self._plugins = plugins
        self._switches = plugins.switches
        self._schemes = schemes
        self._shelf = shelf or Shelf(folder)
        self._lock = threading.RLock()
        self._waiting: dict[str, tuple[Path, Preview]] = {}

    def recover(self) -> None:
        """Finish or take back what a dead process left half done; to be called at the start."""
        with self._changing():
            self._shelf.recover()

    def enable(self, name: str) -> None:
        """Switch it on, now and after every start.

        Raises:
            UnknownNameError: there is no such extension.
        """
        self._plugins.enable(_plain(name))

    def disable(self, name: str) -> None:
        """Switch it off, now and after every start.

        Raises:
            UnknownNameError: there is no such extension.
        """
        self._plugins.disable(_plain(name))

    def prepare(self, source: str, commit: str = "") -> Preview:
        """Fetch from a folder, a .zip or an https address of git, and look at it; nothing of it is run.

        Args:
            source: for git also `URL@commit`.
            commit: in full; without one the newest of the main branch is taken, and named.

        Raises:
            ExtensionError: says what is wrong with the source, its files, its manifest or its requirements.
        """
        kind, source, commit = self._kind(source.strip(), commit.strip())
        staged = self._shelf.stage()
        try:
            match kind:
                case "git":
                    commit = commit or git.newest(source, self._schemes)
                    git.fetch(source, commit, staged, self._schemes)
                case "zip":
                    unpack_zip(Path(source), staged)
                case "folder":
                    copy_folder(Path(source), staged)
            preview = self._look(staged, kind, source, commit)
        except BaseException:
            self._shelf.discard(staged)
            raise
        with self._lock:
            self._waiting[preview.id] = (staged, preview)
            while len(self._waiting) > _MOST_WAITING:
                self.discard(next(iter(self._waiting)))
        return preview

    def prepare_update(self, name: str) -> Preview | None:
        """What an update would bring, fetched from where the extension came from; None when nothing is new.

        Raises:
            ExtensionError: it was put there by hand, or its source is gone.
        """
        origin = self._switches.read().origins.get(name)
        if origin is None:
            raise ExtensionError("error.install.no_origin", extension=name)
        preview = self.prepare(origin.source)
        if preview.manifest.name != name:
            self.discard(preview.id)
            raise ExtensionError(
                "error.install.renamed", extension=name, found=preview.manifest.name
            )
        if preview.digest == origin.digest:
            self.discard(preview.id)
            return None
        return preview

    def discard(self, preview_id: str) -> None:
        """The answer was no."""
        with self._lock:
            staged, _ = self._waiting.pop(preview_id, (None, None))
        if staged is not None:
            self._shelf.discard(staged)

    def install(self, preview_id: str) -> str:
        """The answer was yes: install exactly what was shown; the extension's name.

        Raises:
            ExtensionError: there is no such preview any more, its files have changed since, or pip failed. Nothing has
                changed then.
        """
        with self._lock:
            staged, preview = self._waiting.pop(preview_id, (None, None))
        if staged is None or preview is None:
            raise ExtensionError("error.install.gone")
        name = preview.manifest.name
        try:
            if not staged.is_dir() or digest_of(listing(staged)) != preview.digest:
                raise ExtensionError("error.install.tampered", extension=name)
            packages.install(name, preview.packages, staged)
            lacking = list(missing(preview.manifest.requires, staged))
            if lacking:
                raise ExtensionError(
                    "error.extension.requires", extension=name, missing=", ".join(lacking)
                )
            origin = Origin(
                kind=preview.kind,
                source=preview.source,
                commit=preview.commit,
                digest=preview.digest,
                version=preview.manifest.version,
                at=time.time(),
            )
            with self._changing():
                self._keep_origin(name)
                self._shelf.put(staged, name)
                self._switches.came_from(name, origin)
        except BaseException:
            self._shelf.discard(staged)
            raise
        self._plugins.refresh()
        return name

    def rollback(self, name: str) -> None:
        """Bring the version before back, or one that was removed; the one in use takes its place.

        Raises:
            ExtensionError: there is none before.
        """
        with self._changing():
            if not self._shelf.has_before(_plain(name)):
                raise ExtensionError("error.install.nothing_before", extension=name)
            before = _read_origin(self._shelf.before(name))
            self._keep_origin(name)
            self._shelf.restore(name)
            (self._shelf.path(name) / _ORIGIN).unlink(missing_ok=True)
            self._switches.came_from(name, before)
        self._plugins.refresh()

    def remove(self, name: str) -> None:
        """Take an extension out; it stays in the trash until another takes its place there.

        Raises:
            ExtensionError: there is no such extension.
        """
        with self._changing():
            if not self._shelf.path(_plain(name)).is_dir():
                raise ExtensionError("error.install.not_here", extension=name)
            self._keep_origin(name)
            self._shelf.remove(name)
            self._switches.came_from(name, None)
        self._plugins.refresh()

    def has_before(self, name: str) -> bool:
        """Whether `rollback` has something to bring back."""
        return self._shelf.has_before(name)

    def removed(self) -> tuple[str, ...]:
        """Extensions that are only in the trash."""
        trash = self._shelf.before("x").parent
        names = (path.name for path in trash.glob("*") if path.is_dir())
        return tuple(sorted(name for name in names if not self._shelf.path(name).exists()))

    # ------------------------------------------------------------------------------------------- inside

    def _kind(self, source: str, commit: str) -> tuple[Literal["folder", "zip", "git"], str, str]:
        if not source:
            raise ExtensionError("error.install.source", found="")
        if "://" in source or source.startswith(("-", "git@", "ext::")):
            url, named = git.split_source(source)
            git.check_url(url, self._schemes)
            return "git", url, commit or named
        path = Path(source).expanduser()
        if source.startswith(("\\\\", "//")) or not path.exists():
            raise ExtensionError("error.install.source", found=source[:200])
        if commit:
            raise ExtensionError("error.install.commit_alone", found=source[:200])
        path = path.resolve()
        if path.is_dir():
            if path == self._folder.resolve() or self._folder.resolve().is_relative_to(path):
                raise ExtensionError("error.install.own_folder", found=path)
            return "folder", str(path), ""
        if path.suffix.lower() != ".zip":
            raise ExtensionError("error.install.source", found=source[:200])
        return "zip", str(path), ""

    def _look(
        self, staged: Path, kind: Literal["folder", "zip", "git"], source: str, commit: str
    ) -> Preview:
        manifest = Manifest.read(staged, shown=source)
        manifest.check_compatible()
        for entry in filter(None, (manifest.plugin, manifest.worker)):
            file = f"{entry.partition(':')[0]}.py"
            if not (staged / file).is_file():
                raise ExtensionError("error.install.no_file", extension=manifest.name, file=file)
        files = listing(staged)
        place = self._shelf.path(manifest.name)
        here = {file.path: file for file in (listing(place) if place.is_dir() else ())}
        new = {file.path: file for file in files}
        return Preview(
            id=staged.name,
            manifest=manifest,
            kind=kind,
            source=source,
            commit=commit,
            digest=digest_of(files),
            files=files,
            packages=packages.resolve(manifest.name, manifest.requires),
            version_before=_version(place),
            added=tuple(sorted(new.keys() - here.keys())),
            changed=tuple(
                sorted(path for path in new.keys() & here.keys() if new[path] != here[path])
            ),
            removed=tuple(sorted(here.keys() - new.keys())),
        )

    def _keep_origin(self, name: str) -> None:
        """Let what goes into the trash know where it came from."""
        origin = self._switches.read().origins.get(name)
        place = self._shelf.path(name)
        if origin is not None and place.is_dir():
            (place / _ORIGIN).write_text(origin.model_dump_json(), encoding="utf-8")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time; what the disk refuses becomes words."""
        with self._lock, storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / ".lock", timeout=30):
                yield


_ORIGIN = ".origin.json"


def _read_origin(folder: Path) -> Origin | None:
    try:
        return Origin.model_validate_json((folder / _ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        log.debug("%s: %s", folder, error)  # it was put there by hand
        return None


def _version(folder: Path) -> str:
    if not folder.is_dir():
        return ""
    try:
        return Manifest.read(folder).version
    except ExtensionError:
        return "?"


def _plain(name: str) -> str:
    """A name that is a folder's and nothing else."""
    if not name or name.startswith(".") or Path(name).name != name or os.sep in name:
        raise ExtensionError("error.install.not_here", extension=name[:80])
    return name
