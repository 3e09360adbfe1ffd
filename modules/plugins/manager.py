"""The extensions that are here, what became of each, and what they add to the program."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from modules.errors import UserError
from modules.plugins.catalogue import MountedPanel
from modules.plugins.inside import Inside, nowhere
from modules.plugins.loader import ExtensionImporter
from modules.plugins.loading import LOAD_SECONDS, Loading, Places, Process
from modules.plugins.page_side import PageSide
from modules.plugins.report import ACTIVE, DISABLED, FAILED, ExtensionReport
from modules.plugins.roster import Roster
from modules.plugins.switches import Off, Switches
from modules.plugins.working import Working

__all__ = [
    "ACTIVE",
    "DISABLED",
    "FAILED",
    "ExtensionReport",
    "Inside",
    "MountedPanel",
    "Places",
    "Plugins",
    "Process",
]


class Plugins(PageSide, Working):
    """Calls the hooks; an extension's error never goes further than its own name.

    While the page is built a failing extension becomes a report line; during a job its error fails the job by name, so
    that a wrong picture is never passed off as a right one. Every method may be called from any thread.

    Each part of it has a file: which extensions there are (`roster`), what they offer (`catalogue`), what they say to
    a request (`checking`), what the page has them do (`page_side`), and their part in a job (`working`).
    """

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        switches: Switches | None = None,
        places: Places | None = None,
        process: Process = "page",
        safe_mode: bool = False,
        disabled: Sequence[str] = (),
        inside: Inside | None = None,
        load_seconds: float = LOAD_SECONDS,
    ) -> Self:
        """Load each extension of `folder`; a broken one becomes a report with its reason and the rest start.

        Args:
            switches: which are off and what happened before; without it nothing is remembered.
            process: where this is, the page or the worker.
            inside: told which extension's code runs in the worker, for whoever has to end it.
            load_seconds: what takes longer is given up by name.
        """
        switches = switches or Switches()
        loading = Loading(
            ExtensionImporter(folder), switches, places or Places(), process, load_seconds
        )
        roster = Roster(folder, loading, safe_mode=safe_mode, disabled=disabled)
        name = switches.did_not_start(process)
        if name:
            error = UserError("extension.off.start", extension=name)
            switches.turn_off(name, Off.model_validate({"by": "start", "error": error.to_dict()}))
        roster.refresh()
        return cls(roster, inside or nowhere, load_seconds)

    @property
    def folder(self) -> Path:
        """Where the extensions are."""
        return self._roster.folder

    @property
    def switches(self) -> Switches:
        """Which are off, and what happened before."""
        return self._roster.switches

    @property
    def reports(self) -> tuple[ExtensionReport, ...]:
        """What became of each extension, by name."""
        return self._roster.reports()

    def is_active(self, name: str) -> bool:
        """Whether it takes part now."""
        self._roster.follow()
        return self._roster.find(name) is not None

    def why_not(self, name: str) -> UserError:
        """Why it does not take part."""
        return self._roster.why_not(name)

    def enable(self, name: str) -> ExtensionReport:
        """Switch it on, now and after every start; its report.

        Raises:
            UnknownNameError: there is no such extension.
        """
        report = self._roster.enable(name)
        self.hear_again(name)
        return report

    def disable(self, name: str) -> ExtensionReport:
        """Switch it off, now and after every start; its report.

        Raises:
            UnknownNameError: there is no such extension.
        """
        return self._roster.disable(name)

    def drop(self, name: str, error: UserError) -> None:
        """Take an extension out for this run and keep the reason in its report."""
        self._roster.drop(name, error)

    def refresh(self) -> None:
        """Follow the folder and the switches: load what is new or on again, let go of what is gone or off."""
        self._roster.refresh()

    def laid_out(self) -> None:
        """The page stands: what is loaded from now on shows its panels after a restart."""
        self._roster.laid_out()

    def close(self) -> None:
        """Undo every import and registration."""
        self._roster.close()
