"""Looking up a row of a table by the names that people use for it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from modules.errors import UnknownNameError


class Named(Protocol):
    """A row that can be found."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...


Row = TypeVar("Row", bound=Named)


def spellings(row: Named) -> set[str]:
    """Every way to write the row, in lower case."""
    return {text.casefold() for text in (row.name, row.label, *row.aliases)}


def lookup(name: str, table: Sequence[Row], unknown: str) -> Row:
    """The row written `name`, in any case.

    Raises:
        UnknownNameError: with the key `unknown`; lists the names that exist.
    """
    wanted = name.strip().casefold()
    for row in table:
        if wanted in spellings(row):
            return row
    raise UnknownNameError(unknown, found=name, known=", ".join(row.name for row in table))
