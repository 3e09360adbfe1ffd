"""Texts that were encoded before, kept across jobs: the negative prompt above all is the same for hours."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from modules.diffusion.conditioning import Encoded

Encode = Callable[[Sequence[str]], "list[Encoded]"]
"""Plain texts to what the denoiser reads, each by itself: the same whatever the other texts are."""

MOST_BYTES = 64 * 1024 * 1024


class EncodedCache:
    """The texts used last, up to a number of bytes; they lie where the model does. It belongs to one model."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[Hashable, Encoded] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Encoded | None:
        """What was put under `key`, if it is still there."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, encoded: Encoded) -> None:
        """Keep it, and let go of those that were not asked for longest; what is larger than all is not kept."""
        size = _bytes(encoded)
        self._drop(key)
        if size > self._most:
            return
        self._kept[key] = encoded
        self._bytes += size
        while self._bytes > self._most:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()
        self._bytes = 0

    def _drop(self, key: Hashable) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= _bytes(found)


def cached(encode: Encode, cache: EncodedCache, key: Hashable | None) -> Encode:
    """The same function, which asks the cache first.

    Args:
        key: all that the numbers depend on beside the text; None leaves the cache alone.
    """
    if key is None:
        return encode

    def look(texts: Sequence[str]) -> list[Encoded]:
        found = {text: cache.get((key, text)) for text in texts}
        missing = [text for text, one in found.items() if one is None]
        made = dict(zip(missing, encode(missing), strict=True)) if missing else {}
        for text, one in made.items():
            cache.put((key, text), one)
        return [made.get(text) or _there(found[text]) for text in texts]

    return look


class ChangesText(Protocol):
    """What of an adapter matters here."""

    @property
    def text_key(self) -> str | None:
        """ "" where it leaves text encoding alone; None where nobody can say; else what its change depends on."""


def text_key(adapters: Iterable[ChangesText]) -> tuple[str, ...] | None:
    """What the adapters of a generation do to text encoding, for a cache's key; None where that cannot be said."""
    keys: list[str] = []
    for adapter in adapters:
        if adapter.text_key is None:
            return None
        if adapter.text_key:
            keys.append(adapter.text_key)
    return tuple(keys)


def _there(encoded: Encoded | None) -> Encoded:
    assert encoded is not None
    return encoded


def _bytes(encoded: Encoded) -> int:
    tensors = (encoded.tokens, *encoded.added.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
