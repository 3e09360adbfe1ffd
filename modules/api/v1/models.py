"""Checkpoints as the family names them: "file.safetensors [0123456789]", in part or whole."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from modules.errors import UserError
from modules.schema import ModelCard

if TYPE_CHECKING:
    from modules.services.front import Studio

Hash = Callable[[ModelCard], str]
"""SHA-256 of a model's weights, as far as it was ever computed; "" where it was not."""

SHORT = 10
_HASH = re.compile(r"\s*\[([0-9a-fA-F]{6,64})\]\s*$")
_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".gguf", ".sft")


class Checkpoints:
    """Titles out, names in."""

    def __init__(self, studio: "Studio", hash_of: Hash) -> None:
        self._studio = studio
        self._hash_of = hash_of

    def sha256(self, card: ModelCard) -> str:
        """64 digits, or "" while nobody has computed them: that may take minutes."""
        return self._hash_of(card)

    def title(self, card: ModelCard) -> str:
        """As lists and `sd_model_checkpoint` have it."""
        name = card.name + (card.path.suffix if card.path.suffix in _SUFFIXES else "")
        digest = self._hash_of(card)
        return f"{name} [{digest[:SHORT]}]" if digest else name

    def default(self, chosen: str = "") -> ModelCard | None:
        """The one that a request gets that names none; None where there is none, or it cannot be used."""
        try:
            return self.find(chosen or None)
        except UserError:  # a request says why; lists and settings are there all the same
            return None

    def find(self, asked: str | None) -> ModelCard:
        """The model of a title, a name, a file's name or a hash; None is the default one.

        Raises:
            UnknownNameError: lists those that exist.
            UserError: it is there and cannot be used.
        """
        if asked is None or not asked.strip():
            return self._studio.model(None)
        for name in self._spellings(asked.strip()):
            for card in self._studio.models().cards:
                if name.casefold() in (card.name.casefold(), self.title(card).casefold()):
                    return card
        digest = _HASH.search(f"[{asked.strip().strip('[]')}]")
        if digest:
            for card in self._studio.models().cards:
                if self._hash_of(card).startswith(digest[1].lower()):
                    return card
        return self._studio.model(list(self._spellings(asked.strip()))[-1])

    def _spellings(self, asked: str) -> list[str]:
        bare = _HASH.sub("", asked)
        found = [asked, bare]
        for suffix in _SUFFIXES:
            if bare.lower().endswith(suffix):
                bare = bare[: -len(suffix)]
                found.append(bare)
        found.append(PurePosixPath(bare.replace("\\", "/")).name or bare)
        return found
