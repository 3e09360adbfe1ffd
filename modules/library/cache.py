"""Models kept in memory: as many as a budget of bytes allows, the least recently used go first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from modules.errors import ModelLeftChangedError
from modules.schema import ModelCard


class Sized(Protocol):
    """What the cache needs to know of what it keeps."""

    def size_bytes(self) -> int:
        """Memory that it takes."""


Model = TypeVar("Model", bound=Sized)


@dataclass
class _Entry(Generic[Model]):
    model: Model
    size: int
    users: int = 0


class ModelCache(Generic[Model]):
    """Loads on first use. What is in use is never dropped, so the budget may be exceeded while it is.

    Args:
        budget_bytes: 0 keeps nothing that is not in use.
        load: makes the model of a card; its errors pass through and nothing is kept.
        dropped: called after models were dropped, to give memory back to the device.
    """

    def __init__(
        self,
        budget_bytes: int,
        load: Callable[[ModelCard], Model],
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._budget = budget_bytes
        self._load = load
        self._dropped = dropped
        self._entries: OrderedDict[tuple[str, Path, int], _Entry[Model]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def acquire(self, card: ModelCard) -> Iterator[Model]:
        """The model of `card`, loaded once and kept at least until the block ends.

        Two blocks may hold the same model; who changes it sees to it that they do not run at the same time.
        """
        key = (card.name, card.path, card.size_bytes)
        with self._lock:  # held while loading: two threads that want the same model load it once
            entry = self._entries.get(key)
            if entry is None:
                self._shrink(
                    self._budget - card.size_bytes
                )  # make room first, or both are in memory
                model = self._load(card)
                entry = self._entries[key] = _Entry(model, model.size_bytes())
            entry.users += 1
            self._entries.move_to_end(key)
        try:
            yield entry.model
        except ModelLeftChangedError:
            with self._lock:
                self._entries.pop(key, None)  # not what its file says any more: to be loaded again
            raise
        finally:
            with self._lock:
                entry.users -= 1
                self._shrink(self._budget)

    def loaded(self) -> tuple[str, ...]:
        """Names of the models in memory, the least recently used first."""
        with self._lock:
            return tuple(name for name, _, _ in self._entries)

    def _shrink(self, budget: int) -> None:
        used = sum(entry.size for entry in self._entries.values())
        gone = False
        for key, entry in list(self._entries.items()):
            if used <= budget:
                break
            if entry.users == 0:
                del self._entries[key]
                used -= entry.size
                gone = True
        if gone:
            self._dropped()
