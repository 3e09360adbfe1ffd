"""Commands that extensions bring: found by their word, and handed the queue."""

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modules.cli.extensions import load
from modules.cli.parser import first_word
from modules.cli.run import OK
from modules.cli.waiting import queue_of
from modules.settings import Settings
from modules.texts import LANGUAGES

if TYPE_CHECKING:
    from modules.plugins.command import Command


@dataclass(frozen=True)
class Own:
    """A command of an extension with its words, ready to run."""

    settings: Settings
    verbose: bool
    extension: str
    command: "Command"
    words: tuple[str, ...]

    def carry_out(self) -> int:
        """Run it; the exit status."""
        if {"-h", "--help"}.intersection(self.words):
            title = (self.settings.language == "zh" and self.command.title_zh) or self.command.title
            print(f"noisette {self.command.name} {self.command.usage}\n\n{title}")
            return OK
        plugins = load(self.settings)
        try:
            with queue_of(self.settings) as queue:
                print(plugins.run_command(self.extension, self.command, self.words, queue))
        finally:
            plugins.close()
        return OK


def find(words: Sequence[str], known: Collection[str], language: str) -> Own | None:
    """The extension's command that the first word after the options names; None where it names none.

    The options that all commands share may stand anywhere; the rest is the command's.
    """
    at = first_word(words)
    if at == len(words) or words[at].startswith("-") or words[at] in known:
        return None
    options, rest = _shared().parse_known_args([*words[:at], *words[at + 1 :]])
    given = vars(options)
    settings = Settings.load({name: given.get(name) for name in Settings.model_fields})
    plugins = load(settings)
    try:
        found = plugins.top_command(words[at])
    finally:
        plugins.close()
    if found is None:
        return None
    return Own(settings, options.verbose, found[0], found[1], tuple(rest))


def _shared() -> argparse.ArgumentParser:
    """As in `parser`; what is wrong with these words is said by whoever gets them."""
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--data-dir", "--models-dir", "--extensions-dir"):
        shared.add_argument(name, type=Path)
    shared.add_argument("--safe-mode", action="store_true", default=None)
    shared.add_argument("--lang", choices=LANGUAGES, dest="language")
    shared.add_argument("--verbose", action="store_true")
    return shared
