"""Which textual inversions there are and how many tokens each takes, from headers alone and without torch.

What the page shows and counts with; `modules.library.embeddings` reads the vectors where pictures are made.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from modules.errors import ModelFileError
from modules.library.folder import PICKLES
from modules.library.headers import read_header
from modules.library.identify import identify
from modules.library.identify.embedding import PAIR, vector
from modules.schema import ModelCard

FOLDER = "embeddings"
WIDTHS: Mapping[str, tuple[int, ...]] = {
    "sd1": (768,),
    "sd2": (1024,),
    "sdxl": (768, 1280),
    "sdxl_refiner": (1280,),
}
"""Of the text encoders that each family has; those of other families take no inversions."""


@dataclass(frozen=True)
class Inversion:
    """One file: the widths of its vectors, one for each text encoder, and how many tokens it takes."""

    name: str
    widths: tuple[int, ...]
    vectors: int


class Inversions:
    """The files of a folder and those below it. Each is read once, and again when it changes.

    Args:
        converted: the safetensors copy of a legacy file, if there is one already; until then such a file is left out.
    """

    def __init__(self, folder: Path, converted: Callable[[Path], Path | None]) -> None:
        self._folder = folder
        self._converted = converted
        self._kept: dict[Path, tuple[tuple[int, int], Inversion | None]] = {}
        self._lock = threading.Lock()

    def fitting(self, card: ModelCard) -> dict[str, int]:
        """Names of those that a model's text encoders can read, with the tokens that each takes."""
        wanted = _widths(card)
        found: dict[str, int] = {}
        for one in self.all() if wanted else ():
            if set(wanted) <= set(one.widths):
                found.setdefault(one.name, one.vectors)
        return found

    def all(self) -> list[Inversion]:
        """Every file that is one, in the order of their paths; damaged and other files are left out."""
        with self._lock:
            files = sorted(self._folder.rglob("*")) if self._folder.is_dir() else []
            present = [path for path in files if path.suffix.lower() in (".safetensors", *PICKLES)]
            self._kept = {path: kept for path, kept in self._kept.items() if path in present}
            found = (self._one(path) for path in present)
            return [one for one in found if one is not None]

    def _one(self, path: Path) -> Inversion | None:
        legacy = path.suffix.lower() in PICKLES
        readable = self._converted(path) if legacy else path
        if readable is None:
            return None
        try:
            state = readable.stat()
            stamp = (state.st_size, state.st_mtime_ns)
            known = self._kept.get(path)
            if known is None or known[0] != stamp:
                known = self._kept[path] = (stamp, _read(readable, path.stem))
        except OSError:  # it went away this moment
            return None
        return known[1]


def _read(path: Path, name: str) -> Inversion | None:
    try:
        header = read_header(path)
    except ModelFileError:
        return None
    found = identify(header.shapes, header.metadata)
    if found.kind != "embedding":
        return None
    shapes = {key: shape for key, shape in header.shapes.items() if vector(key, shape)}
    chosen = [shapes[key] for key in PAIR] if found.layout == "pair" else [*shapes.values()][:1]
    return Inversion(name, tuple(shape[-1] for shape in chosen), prod(chosen[0][:-1]))


def _widths(card: ModelCard) -> tuple[int, ...]:
    """Those that a model's folder names, else those of its family."""
    usual = WIDTHS.get(card.family, ())
    if not usual or not card.path.is_dir():
        return usual
    found = (
        _hidden(card.path / part / "config.json") for part in ("text_encoder", "text_encoder_2")
    )
    return tuple(width for width in found if width) or usual


def _hidden(config: Path) -> int | None:
    try:
        size = json.loads(config.read_text(encoding="utf-8")).get("hidden_size")
    except (OSError, ValueError, AttributeError):
        return None
    return size if isinstance(size, int) else None
