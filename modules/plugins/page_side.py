"""What the page, the API and the terminal have extensions do: build, plan, and run commands."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from modules.errors import UserError
from modules.plugins.action import Action, Planned, checked
from modules.plugins.asking import asked, hung
from modules.plugins.blame import blame, broke_promise, failed
from modules.plugins.catalogue import MountedPanel
from modules.plugins.checking import Checking
from modules.plugins.command import Command, Queue
from modules.plugins.inside import Inside, nowhere
from modules.plugins.limit import Hung, limited
from modules.plugins.loading import LOAD_SECONDS
from modules.plugins.roster import Roster
from modules.schema import GenerationRequest


class PageSide(Checking):
    """Imports the parts that an extension names as `"file:name"` when they are first used, and calls them."""

    def __init__(
        self, roster: Roster, inside: Inside = nowhere, load_seconds: float = LOAD_SECONDS
    ) -> None:
        super().__init__(roster, inside)
        self._load_seconds = load_seconds

    def part(self, extension: str, entry: str) -> Callable[..., Any]:
        """The extension's own function for a panel, tab or router, imported now.

        Raises:
            UnknownNameError: the extension does not take part.
            ExtensionError: it cannot be imported, or takes too long.
        """
        loaded = self._roster.get(extension)
        try:
            found = limited(lambda: loaded.part(entry), self._load_seconds)
        except Hung as error:
            raise hung(extension, entry, error) from error
        if not callable(found):
            raise broke_promise(
                extension, entry, "type", wanted="function", found=type(found).__name__
            )
        return found

    def panel_builder(self, mounted: MountedPanel, **offered: Any) -> Callable[..., Any] | None:
        """The extension's own function for its panel, imported now, or None.

        Raises:
            ExtensionError: when it cannot be imported.
        """
        if mounted.panel.build is None:
            return None
        return self.builder(mounted.extension, mounted.panel.build, **offered)

    def builder(self, extension: str, entry: str, **offered: Any) -> Callable[..., Any]:
        """As `part`; one that takes `host` is handed its own, and what else is `offered` under a name that it takes."""
        found = self.part(extension, entry)
        offered["host"] = self._roster.get(extension).host
        with blame(extension):
            wanted = inspect.signature(found).parameters
        more = {name: value for name, value in offered.items() if name in wanted}
        return functools.partial(found, **more) if more else found

    def plan(self, name: str, action: Action, request: GenerationRequest) -> tuple[Planned, ...]:
        """What a panel's button asks for, in the page's process.

        Raises:
            UserError: the extension is off, or says itself what is wrong.
            ExtensionError: it failed, took too long, or gave what is no plan.
        """
        self._roster.follow()
        run = self.part(name, action.run)
        own = self.check(request).model_copy(deep=True)
        return checked(name, action, asked(name, action.run, lambda: run(own)))

    def commands(self, name: str) -> tuple[Command, ...]:
        """The commands that an extension adds to the terminal's.

        Raises:
            UserError: there is no such extension, or it is off.
        """
        self._roster.known(name)
        return self._roster.get(name).offers.commands

    def top_command(self, word: str) -> tuple[str, Command] | None:
        """The command that stands at the top as `word`, with its extension's name; of two, that of the first name."""
        return next(
            (
                (name, command)
                for name, extension in self._roster.active()
                for command in extension.offers.commands
                if command.top and command.name == word
            ),
            None,
        )

    def run_command(
        self, name: str, command: Command, words: Sequence[str], queue: Queue | None = None
    ) -> str:
        """What a command says; `queue` is for those that take it.

        Raises:
            UserError: its own words.
            ExtensionError: it failed by itself.
        """
        extension = self._roster.get(name)
        run = extension.part(command.run)
        try:
            wants = "queue" in inspect.signature(run).parameters
            more = {"queue": queue} if wants else {}
            said = run(list(words), extension.host, **more)
        except UserError:
            raise
        except Exception as error:  # it may raise anything: its name is blamed
            raise failed(name, error) from error
        if not isinstance(said, str):
            raise broke_promise(name, command.run, "type", wanted="str", found=type(said).__name__)
        return said
