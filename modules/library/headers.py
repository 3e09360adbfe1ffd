"""Reading the header of a safetensors file: what is in it, and whether the file is whole, without its weights.

The format: 8 bytes with the header's length (little-endian), that many bytes of JSON, then the data.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.errors import ModelFileError

MAX_HEADER = 100_000_000  # the limit of the safetensors library itself


@dataclass(frozen=True)
class Header:
    """Names of the tensors with their shapes, and the free text that came with them."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """The header of `path`.

    Raises:
        ModelFileError: the file cannot be read, is not safetensors, or is cut short; the text names it.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ModelFileError(
                    "error.model.not_safetensors", file=path, why=_looks_like(path)
                )
            data = json.loads(file.read(length))
    except OSError as error:
        raise ModelFileError("error.model.read", file=path, why=error.strerror or error) from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            "error.model.not_safetensors", file=path, why=_looks_like(path)
        ) from error
    return _checked(path, data, size - 8 - length)


def _checked(path: Path, data: Any, room: int) -> Header:
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        metadata = {str(key): str(value) for key, value in data.pop("__metadata__", {}).items()}
        end = 0
        for name, tensor in data.items():
            shapes[name] = tuple(int(side) for side in tensor["shape"])
            end = max(end, int(tensor["data_offsets"][1]))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelFileError(
            "error.model.not_safetensors", file=path, why="its header is not one"
        ) from error
    if end != room:
        raise ModelFileError("error.model.cut_short", file=path, found=room, expected=end)
    return Header(shapes, metadata)


def _looks_like(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        return str(error)
    if not start:
        return "it is empty"
    if start.lstrip()[:1] == b"<":
        return "it is a web page, as downloads that need a login give"
    if start.startswith((b"version https://git-lfs", b"oid sha256:")):
        return "it is a pointer of Git LFS, not the file itself"
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return "it is a Python pickle under another name"
    return "its first bytes are not a header"
