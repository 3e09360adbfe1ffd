"""A kind of weight file that an extension works with."""

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_DEPTH = 8


@dataclass(frozen=True)
class ModelKind:
    """Files with one of `suffixes` in `models/<name>/` and the folders below it."""

    name: str
    title: str
    title_zh: str = ""
    suffixes: tuple[str, ...] = (".safetensors",)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r}: a kind's name is a folder: small letters, digits, _")

    def files(self, models: Path) -> dict[str, Path]:
        """The files by name (path below the folder, without suffix, with "/"), in order; links are followed.

        Of two files that differ in their suffix only, the first suffix wins.
        """
        found: dict[str, Path] = {}
        folder = models / self.name
        for suffix in self.suffixes:
            for path in sorted(_walk(folder, suffix, _DEPTH, frozenset())):
                name = path.relative_to(folder).as_posix()[: -len(suffix)]
                found.setdefault(name, path)
        return dict(sorted(found.items()))


def _walk(folder: Path, suffix: str, depth: int, above: frozenset[Path]) -> list[Path]:
    real = folder.resolve()
    if depth == 0 or real in above or not folder.is_dir():  # a link may lead back up
        return []
    found: list[Path] = []
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found += _walk(path, suffix, depth - 1, above | {real})
        elif path.name.lower().endswith(suffix) and path.is_file():
            found.append(path)
    return found
