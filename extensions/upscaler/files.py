"""The upscalers that there are: filters of PIL, and the files of `models/upscalers/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from modules.plugins import Host, ModelKind, problem

KIND = ModelKind(
    "upscalers", "Upscalers", "放大模型", suffixes=(".safetensors", ".pth", ".pt", ".ckpt")
)
NONE = "None"

FILTERS: Mapping[str, Image.Resampling] = {
    NONE: Image.Resampling.LANCZOS,  # the size must be met all the same
    "Lanczos": Image.Resampling.LANCZOS,
    "Nearest": Image.Resampling.NEAREST,
    "Bicubic": Image.Resampling.BICUBIC,
    "Bilinear": Image.Resampling.BILINEAR,
    "Hamming": Image.Resampling.HAMMING,
    "Box": Image.Resampling.BOX,
}
CORE = (NONE, "Lanczos", "Nearest")
"""Those that the program itself registers."""


@dataclass(frozen=True)
class Found:
    """An upscaler: a filter, or a file."""

    name: str
    filter: Image.Resampling | None = None
    path: Path | None = None


def names(host: Host) -> list[str]:
    """What there is now, filters first."""
    return [*FILTERS, *(name for name in host.files(KIND) if not _filter_named(name))]


def find(host: Host, name: str) -> Found:
    """The upscaler of that name, in any case, with or without the file's suffix.

    Raises:
        UserError: there is none; says which there are.
    """
    known = _filter_named(name)
    if known:
        return Found(known, filter=FILTERS[known])
    files = host.files(KIND)
    wanted = _plain(name)
    for each, path in files.items():
        if _plain(each) == wanted:
            return Found(each, path=path)
    listed = ", ".join(names(host))
    raise problem(
        f"There is no upscaler “{name[:200]}”. There are: {listed}. "
        "Files belong into models/upscalers.",
        f"没有名为“{name[:200]}”的放大器。现有：{listed}。模型文件请放入 models/upscalers。",
    )


def _filter_named(name: str) -> str | None:
    wanted = name.strip().casefold()
    return next((each for each in FILTERS if each.casefold() == wanted), None)


def _plain(name: str) -> str:
    plain = name.strip().casefold()
    for suffix in KIND.suffixes:
        plain = plain.removesuffix(suffix)
    return plain
