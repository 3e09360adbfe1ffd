"""Putting an extension in place, in one step, with the one before it kept.

    extensions/<name>/           the one in use
    extensions/.staging-<id>/    what is being prepared; never loaded
    extensions/.trash/<name>/    the one before, or the one that was removed; one for each name

Each change is a few renames inside one folder. When the program dies between two of them, `recover` finishes or takes
back at the next start: an extension is there whole or not at all.
"""

import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from modules.errors import ExtensionError

STAGING, TRASH = ".staging-", ".trash"
_OLD_SECONDS = 24 * 3600.0

Move = Callable[[Path, Path], None]


class Shelf:
    """The folder of extensions; `move` renames, tests hand in one that fails."""

    def __init__(self, folder: Path, move: Move = os.replace) -> None:
        self._folder = folder
        self._move = move

    def path(self, name: str) -> Path:
        """Where the extension of that name is, or would be."""
        return self._folder / name

    def has_before(self, name: str) -> bool:
        """Whether there is one to go back to."""
        return self._trash(name).is_dir()

    def before(self, name: str) -> Path:
        """The one before."""
        return self._trash(name)

    def stage(self) -> Path:
        """A new empty folder to prepare an extension in."""
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._folder / f"{STAGING}{secrets.token_hex(6)}"
        place.mkdir(mode=0o700)
        return place

    def discard(self, staged: Path) -> None:
        """Throw away what was prepared."""
        shutil.rmtree(staged, ignore_errors=True)

    def put(self, staged: Path, name: str) -> None:
        """Make what was prepared the extension of that name; the one before goes into the trash.

        Raises:
            OSError: the one before is in place again.
        """
        place = self.path(name)
        if place.exists():
            self._to_trash(name)
        try:
            self._move(staged, place)
        except OSError:
            self.recover()
            raise
        self._done(name)

    def remove(self, name: str) -> None:
        """Put the extension of that name into the trash."""
        if not self.path(name).is_dir():
            raise ExtensionError("error.install.not_here", extension=name)
        self._to_trash(name)
        self._done(name)

    def restore(self, name: str) -> None:
        """Bring the one before back; the one in use takes its place in the trash.

        Raises:
            ExtensionError: there is none before.
        """
        if not self.has_before(name):
            raise ExtensionError("error.install.nothing_before", extension=name)
        place = self.path(name)
        waiting = self._folder / f"{STAGING}{secrets.token_hex(6)}"
        self._move(self._trash(name), waiting)
        try:
            if place.exists():
                self._to_trash(name)
            self._move(waiting, place)
        except OSError:
            self.recover()
            if waiting.is_dir() and not self.has_before(name):
                self._move(waiting, self._trash(name))
            raise
        self._done(name)

    def recover(self) -> None:
        """Finish or take back what was broken off, and clear away what nobody prepares any more."""
        if not self._folder.is_dir():
            return
        for mark in sorted((self._folder / TRASH).glob("*.replacing")):
            name = mark.name.removesuffix(".replacing")
            if not self.path(name).exists() and self.has_before(name):
                self._move(self._trash(name), self.path(name))
            mark.unlink(missing_ok=True)
        for staged in self._folder.glob(f"{STAGING}*"):
            if time.time() - staged.stat().st_mtime > _OLD_SECONDS:
                self.discard(staged)

    def _to_trash(self, name: str) -> None:
        trash = self._trash(name)
        trash.parent.mkdir(exist_ok=True)
        if trash.exists():
            away = self._folder / f"{STAGING}{secrets.token_hex(6)}"
            self._move(trash, away)
            self.discard(away)
        self._mark(name).touch()
        self._move(self.path(name), trash)

    def _done(self, name: str) -> None:
        self._mark(name).unlink(missing_ok=True)

    def _trash(self, name: str) -> Path:
        return self._folder / TRASH / name

    def _mark(self, name: str) -> Path:
        return self._folder / TRASH / f"{name}.replacing"
