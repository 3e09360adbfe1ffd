"""Cards of the models that were found, the reasons why others cannot be used, and finding one by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from modules.errors import UnknownNameError, UserError
from modules.schema import ModelCard


@dataclass(frozen=True)
class Problem:
    """A file or folder that cannot be used, and why, in the words for the user (`error` gives other languages)."""

    path: Path
    error: UserError

    @property
    def reason(self) -> str:
        """The reason in English."""
        return str(self.error)


@dataclass(frozen=True)
class ScanResult:
    """What is in the models folder, sorted by name and by path."""

    cards: tuple[ModelCard, ...]
    problems: tuple[Problem, ...]


def find(cards: Sequence[ModelCard], name: str | None, default: str = "") -> ModelCard:
    """The model called `name` (in any case); without a name the default one, without a default the first.

    Raises:
        UnknownNameError: there is none of that name, or none at all; names the close and the existing ones.
    """
    wanted = name or default
    if not cards:
        raise UnknownNameError("error.model.none")
    if not wanted:
        return cards[0]
    for card in cards:
        if wanted == card.name:
            return card
    for card in cards:
        if wanted.casefold() in (card.name.casefold(), card.title.casefold()):
            return card
    names = [card.name for card in cards]
    close = get_close_matches(wanted.casefold(), [known.casefold() for known in names], n=1)
    known = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
    if close:
        near = next(known for known in names if known.casefold() == close[0])
        raise UnknownNameError("error.model.unknown.close", found=wanted, close=near, known=known)
    raise UnknownNameError("error.model.unknown", found=wanted, known=known)
