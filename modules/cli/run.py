"""What every command is handed, and how a command ends."""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from modules.errors import UserError
from modules.settings import Settings
from modules.texts import translate

if TYPE_CHECKING:
    from modules.services.export import Export
    from modules.services.front import Studio

OK, FAILED, WRONG, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
PROGRAM = "noisette"
POLL_SECONDS = 0.3


class Run:
    """One call of a command: its options, the settings, the language of its words."""

    def __init__(self, options: argparse.Namespace, settings: Settings) -> None:
        self.options = options
        self.settings = settings
        self.language = settings.language

    def say(self, key: str, **values: object) -> str:
        """A text of the catalogue in the person's language."""
        return translate(key, self.language, **values)

    def print_json(self, data: object) -> None:
        """An answer for programs."""
        print(json.dumps(data, ensure_ascii=False, indent=2, default=str))

    @contextlib.contextmanager
    def studio(self, *, in_process: bool = False) -> Iterator["Studio"]:
        """The queue without a page; with `in_process` the jobs are done here."""
        from modules.app import build_studio

        studio = build_studio(self.settings, in_process=in_process)
        try:
            yield studio
        finally:
            studio.close()


class Failed(UserError):
    """The job failed: exit status 1, unlike a request that was wrong."""

    def __init__(self, error: UserError) -> None:
        super().__init__(error.key, **error.values)


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does, tidily."""


def export_to(target: str | None) -> "Export | None":
    """Where copies go, checked before the work: a target that refuses costs no picture."""
    if target is None:
        return None
    from modules.services.export import Export

    return Export(target)


def note(text: str) -> None:
    """Tell the person at the terminal, beside the answer."""
    print(text, file=sys.stderr, flush=True)
