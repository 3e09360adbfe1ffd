"""Textual inversions (Gal et al., arXiv 2208.01618) in a prompt: their names are found among its tokens.

Tokens, not letters: so capitals do not matter, and `cat` is not found in `catalogue`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """An embedding as it is looked for."""

    name: str
    ids: tuple[int, ...]
    """The tokens of its name."""
    vectors: int
    """How many tokens it takes itself."""


class Names:
    """All names, ready to be looked for; where several fit, the longest is meant."""

    def __init__(self, ids: Callable[[str], Sequence[int]], vectors: Mapping[str, int]) -> None:
        """`vectors` says how many tokens the embedding of each name takes."""
        self._by_first: dict[int, list[Name]] = {}
        for name, number in vectors.items():
            found = Name(name, tuple(ids(name)), number)
            if found.ids:
                self._by_first.setdefault(found.ids[0], []).append(found)
        for names in self._by_first.values():
            names.sort(key=lambda one: len(one.ids), reverse=True)

    def at(self, ids: Sequence[int], place: int) -> Name | None:
        """The longest name whose tokens stand at `place`."""
        for name in self._by_first.get(ids[place], ()):
            if tuple(ids[place : place + len(name.ids)]) == name.ids:
                return name
        return None

    def among(self, ids: Sequence[int]) -> set[str]:
        """Every name that stands somewhere in a text."""
        found = (self.at(ids, place) for place in range(len(ids)))
        return {one.name for one in found if one is not None}
