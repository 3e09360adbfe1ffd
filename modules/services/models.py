"""Which models are here: what the library found, kept until somebody asks again."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from modules.errors import UnknownNameError, UserError
from modules.schema import ModelCard


class FileProblem(Protocol):
    """A model file or folder that cannot be used, and why."""

    @property
    def path(self) -> Path: ...
    @property
    def error(self) -> UserError: ...
    @property
    def reason(self) -> str: ...


class Scan(Protocol):
    """`modules.library.scan.ScanResult`."""

    @property
    def cards(self) -> Sequence[ModelCard]: ...
    @property
    def problems(self) -> Sequence[FileProblem]: ...


Find = Callable[[Sequence[ModelCard], str | None, str], ModelCard]


class Models:
    """Looks models up by name; looks into the folders again when a name is not known yet."""

    def __init__(self, scan: Callable[[], Scan], find: Find, default: str) -> None:
        self._scan = scan
        self._find = find
        self._default = default
        self._lock = threading.Lock()
        self._found: Scan | None = None

    def all(self, refresh: bool = False) -> Scan:
        """What is in the model folders, problems included."""
        with self._lock:
            if self._found is None or refresh:
                self._found = self._scan()
            return self._found

    def find(self, name: str | None) -> ModelCard:
        """The model of that name; None is the default one.

        Raises:
            UnknownNameError: lists the names that exist.
            UserError: there is a file or folder of that name, and it cannot be used; says why.
        """
        try:
            return self._find(self.all().cards, name, self._default)
        except UnknownNameError:
            found = self.all(refresh=True)
        try:
            return self._find(found.cards, name, self._default)
        except UnknownNameError:
            wanted = (name or self._default).casefold()
            for each in found.problems:  # it is there, and this is why it cannot be used
                if wanted and wanted in (each.path.name.casefold(), each.path.stem.casefold()):
                    raise each.error from None
            raise
