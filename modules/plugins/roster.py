"""Which extensions are here, what became of each, and which of them take part now."""

import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from modules.errors import UnknownNameError, UserError
from modules.plugins.extension import Extension
from modules.plugins.loading import Loading, cause, extension_folders, off
from modules.plugins.options import Options
from modules.plugins.report import DISABLED, FAILED, ExtensionReport
from modules.plugins.switches import MOST_FAILURES, Off, State, Switches


class Roster:
    """Follows the folder of extensions and the switches. Every method may be called from any thread."""

    def __init__(
        self, folder: Path, loading: Loading, *, safe_mode: bool, disabled: Collection[str]
    ) -> None:
        self.folder = folder
        self._loading = loading
        self._safe_mode = safe_mode
        self._disabled = frozenset(disabled)
        self._lock = threading.RLock()
        self._loaded: dict[str, Extension] = {}
        self._reports: dict[str, ExtensionReport] = {}
        self._marks: dict[str, object] = {}
        self._laid_out: dict[str, object] | None = None
        self._seen: tuple[int, ...] = ()

    @property
    def switches(self) -> Switches:
        """What outlives a start."""
        return self._loading.switches

    # ------------------------------------------------------------------------------------------- who is here

    def active(self) -> list[tuple[str, Extension]]:
        """Those that take part, by name."""
        with self._lock:
            return sorted(self._loaded.items())

    def find(self, name: str) -> Extension | None:
        """The extension of that name if it takes part."""
        with self._lock:
            return self._loaded.get(name)

    def get(self, name: str) -> Extension:
        """The extension of that name.

        Raises:
            UnknownNameError: it does not take part; says why.
        """
        found = self.find(name)
        if found is None:
            raise self.why_not(name)
        return found

    def options(self) -> Mapping[str, type[Options]]:
        """The options class of each active extension that has one."""
        return {
            name: each.offers.options
            for name, each in self.active()
            if each.offers.options is not None
        }

    def has(self, name: str) -> bool:
        """Whether there is one of that name, active or not."""
        with self._lock:
            return name in self._reports

    def known(self, name: str) -> None:
        """Look into the folder again for one of that name.

        Raises:
            UnknownNameError: there is none; says which there are.
        """
        self.refresh()  # it may have been put there since
        with self._lock:
            known = sorted(self._reports)
        if name not in known:
            listed = ", ".join(known) or "-"
            raise UnknownNameError("error.extension.none", found=name, known=listed)

    def why_not(self, name: str) -> UserError:
        """Why it does not take part."""
        with self._lock:
            report = self._reports.get(name)
        if report is None or report.reason is None:
            known = ", ".join(sorted(self.options())) or "-"
            return UnknownNameError("error.extension.unknown", found=name, known=known)
        return UnknownNameError("error.extension.off", found=name, why=report.reason)

    # ------------------------------------------------------------------------------------------- reports

    def reports(self) -> tuple[ExtensionReport, ...]:
        """What became of each extension, by name."""
        self.follow()
        with self._lock:
            state = self.switches.read()
            return tuple(self._report(name, state) for name in sorted(self._reports))

    def report(self, name: str) -> ExtensionReport:
        """What became of one that is known."""
        with self._lock:
            return self._report(name, self.switches.read())

    def warn(self, name: str, key: str, **values: object) -> None:
        """Add a warning to the report of one that is still known."""
        with self._lock:
            report = self._reports.get(name)
            if report is not None:
                warnings = (*report.warnings, UserError(key, **values))
                self._reports[name] = replace(report, warnings=warnings)

    # ------------------------------------------------------------------------------------------- on and off

    def enable(self, name: str) -> ExtensionReport:
        """See `Plugins`."""
        self.known(name)
        self.switches.turn_on(name)
        with self._lock:
            if name not in self._loaded:
                self._reports.pop(name, None)  # it failed: try again
        self.refresh()
        return self.report(name)

    def disable(self, name: str) -> ExtensionReport:
        """See `Plugins`."""
        self.known(name)
        self.switches.turn_off(name, Off())
        self.refresh()
        return self.report(name)

    def drop(self, name: str, error: UserError) -> None:
        """See `Plugins`."""
        with self._lock:
            report = self._reports[name]
            self._remove(name)
            self._reports[name] = replace(
                report, state=FAILED, reason=error, traceback=cause(error), hooks=report.hooks
            )

    def laid_out(self) -> None:
        """See `Plugins`."""
        with self._lock:
            self._laid_out = {name: self._marks[name] for name in self._loaded}

    def follow(self) -> None:
        """`refresh` if somebody has changed the switches."""
        if self.switches.stamp != self._seen:
            self.refresh()

    def refresh(self) -> None:
        """See `Plugins`."""
        with self._lock:
            self._seen = self.switches.stamp
            state = self.switches.read()
            here = {path.name: path for path in extension_folders(self.folder)}
            for name in self._reports.keys() - here.keys():
                self._remove(name)
                del self._reports[name]
            for name, path in here.items():
                reason = self._why_off(name, state)
                mark = _mark(path, state, name)
                if reason is not None:
                    self._remove(name)
                    self._reports[name] = off(path, reason)
                elif self._marks.get(name) != mark or name not in self._reports:
                    self._remove(name)
                    self._add(path)
                elif self._reports[name].state == DISABLED:
                    self._add(path)
                self._marks[name] = mark

    def close(self) -> None:
        """Undo every import and registration."""
        with self._lock:
            for name in list(self._reports):
                self._remove(name)
            self._loading.importer.forget()

    # ------------------------------------------------------------------------------------------- inside

    def _report(self, name: str, state: State) -> ExtensionReport:
        report = self._reports[name]
        shows = name in self._loaded and self._loaded[name].offers.shows
        late = self._laid_out is not None and self._laid_out.get(name) != self._marks.get(name)
        return replace(
            report,
            failures=state.failures.get(name),
            origin=state.origins.get(name),
            restart=shows and late,
        )

    def _why_off(self, name: str, state: State) -> UserError | None:
        if self._safe_mode:
            return UserError("extension.off.safe_mode")
        if name in self._disabled:
            return UserError("extension.off.settings")
        found = state.off.get(name)
        if found is None:
            return None
        if found.by == "failures" and found.error is not None:
            error = UserError.from_dict(found.error)
            return UserError("extension.off.failures", count=MOST_FAILURES, why=error)
        if found.error:
            return UserError.from_dict(found.error)
        return UserError("extension.off.person")

    def _add(self, folder: Path) -> None:
        name = folder.name
        extension, report = self._loading.load(folder, [each for _, each in self.active()])
        if extension is None:
            self._remove(name)
        else:
            self._loaded[name] = extension
        self._reports[name] = report

    def _remove(self, name: str) -> None:
        self._loaded.pop(name, None)
        self._loading.importer.forget(name)


def _mark(folder: Path, state: State, name: str) -> object:
    """Differs when the files have been replaced."""
    origin = state.origins.get(name)
    try:
        facts = (folder / "extension.toml").stat()
    except OSError:
        return (None, origin)
    return (facts.st_mtime_ns, facts.st_ino, origin)
