"""Textual inversions (Gal et al., arXiv 2208.01618): from files to vectors, by the name that prompts use."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from modules.diffusion.parts import Embedding, Parts
from modules.errors import ModelFileError, UserError
from modules.library.cards import Problem
from modules.library.folder import PICKLES
from modules.library.headers import read_header
from modules.library.identify import identify
from modules.library.identify.embedding import PAIR, vector
from modules.library.pickles import Converter
from modules.library.single import describe
from modules.library.weights import read_all

FOLDER = "embeddings"
MOST_BYTES = 50_000_000


class Shelf:
    """The embeddings of a folder. Files are read once, and again when they change.

    Args:
        converter: turns `.pt` and `.bin` files into safetensors; None leaves them out.
    """

    def __init__(self, folder: Path, converter: Converter | None = None) -> None:
        self._folder = folder
        self._converter = converter
        self._kept: dict[Path, Embedding | UserError] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def fitting(self, parts: Parts) -> Mapping[str, Embedding]:
        """Those for the text encoders of this model, by name; of two files with one name the first in order.

        It looks into the folder again whenever it is asked; what did not change stays the same object.
        """
        return _Fitting(self.all, _widths(parts))

    def misfits(self, parts: Parts) -> list[str]:
        """Names of embeddings that are here but were made for other text encoders than this model's."""
        fitting = self.fitting(parts)
        found = self.all().values()
        names = {one.name for one in found if not isinstance(one, UserError)}
        return sorted(name for name in names if name not in fitting)

    def problems(self) -> tuple[Problem, ...]:
        """Files that cannot be used, and why."""
        return tuple(
            Problem(path, one) for path, one in self.all().items() if isinstance(one, UserError)
        )

    def all(self) -> dict[Path, Embedding | UserError]:
        """Every file with what it holds, or why it cannot be used."""
        with self._lock:
            files = sorted(self._folder.rglob("*")) if self._folder.is_dir() else []
            present = [path for path in files if path.suffix.lower() in (".safetensors", *PICKLES)]
            for path in self._kept.keys() - set(present):
                del self._kept[path]
            for path in present:
                self._refresh(path)
            return {path: self._kept[path] for path in present if path in self._kept}

    def _refresh(self, path: Path) -> None:
        try:
            state = path.stat()
            stamp = (state.st_size, state.st_mtime_ns)
            if self._stamps.get(path) == stamp and path in self._kept:
                return
            self._stamps[path] = stamp
            self._kept[path] = self._read(path)
        except UserError as error:
            self._kept[path] = error
        except OSError as error:
            why = error.strerror or error
            self._kept[path] = ModelFileError("error.model.read", file=path, why=why)

    def _read(self, path: Path) -> Embedding:
        if path.suffix.lower() not in PICKLES:
            found = read_embedding(path)
        elif self._converter is None:
            raise ModelFileError("error.model.pickle", file=path)
        else:
            found = read_embedding(self._converter.get(path), name=path.stem)
        with path.open("rb") as file:
            return replace(found, sha256=hashlib.file_digest(file, "sha256").hexdigest())


class _Fitting(Mapping[str, Embedding]):
    """What of a shelf fits text encoders of these widths."""

    def __init__(
        self,
        look: Callable[[], Mapping[Path, Embedding | UserError]],
        widths: tuple[int | None, ...],
    ) -> None:
        self._look = look
        self._widths = widths
        self._made: dict[Path, tuple[Embedding, Embedding | None]] = {}

    def __getitem__(self, name: str) -> Embedding:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[str, Embedding]:
        found: dict[str, Embedding] = {}
        for path, one in self._look().items():
            if isinstance(one, UserError):
                continue
            known = self._made.get(path)
            if known is None or known[0] is not one:
                known = self._made[path] = (one, _fitted(one, self._widths))
            if known[1] is not None:
                found.setdefault(one.name, known[1])
        return found


def _widths(parts: Parts) -> tuple[int | None, ...]:
    return tuple(
        None if model is None else int(model.config.hidden_size)
        for model in (parts.text_encoder, parts.text_encoder_2)
    )


def read_embedding(path: Path, name: str | None = None) -> Embedding:
    """The vectors of one safetensors file, for one text encoder or for SDXL's two.

    Args:
        name: as prompts will use it; None is the file's name without its end.

    Raises:
        ModelFileError: the file is damaged, too large, or something else.
    """
    header = read_header(path)
    found = identify(header.shapes, header.metadata)
    size = sum(tensor.end - tensor.start for tensor in header.tensors.values())
    if found.kind != "embedding" or size > MOST_BYTES:
        raise ModelFileError("error.embedding.kind", file=path, found=describe(found))
    tensors = {
        key: value.float().reshape(-1, value.shape[-1])
        for key, value in read_all(path, header).items()
        if vector(key, tuple(value.shape))
    }
    if found.layout == "pair":
        vectors: tuple[torch.Tensor | None, ...] = tuple(tensors[key] for key in PAIR)
    else:
        vectors = (next(iter(tensors.values())),)
    if any(not torch.isfinite(part).all() for part in vectors if part is not None):
        raise ModelFileError("error.model.load", file=path, why="NaN")
    if len({len(part) for part in vectors if part is not None}) != 1:
        raise ModelFileError("error.model.load", file=path, why="vectors of two lengths")
    return Embedding(name or path.stem, vectors)


def _fitted(one: Embedding, widths: tuple[int | None, ...]) -> Embedding | None:
    """With the vectors at the places of the encoders they are for; None where one is missing."""
    given = [part for part in one.vectors if part is not None]
    wanted = [width for width in widths if width is not None]
    if len(given) < len(wanted):
        return None
    left = list(given)
    placed: list[torch.Tensor | None] = []
    for width in widths:
        part = next((part for part in left if part.shape[-1] == width), None) if width else None
        if width and part is None:
            return None
        if part is not None:
            left = [other for other in left if other is not part]
        placed.append(part)
    return replace(one, vectors=tuple(placed))
