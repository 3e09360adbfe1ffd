"""Reading the header of a safetensors file: what is in it, and whether the file is whole, without its weights.

The format: 8 bytes with the header's length (little-endian), that many bytes of JSON, then the data; each tensor has
a type, a shape and its place in the data, and the places cover the data without gaps or overlaps.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from modules.errors import ModelFileError, reason

MAX_HEADER = 100_000_000  # the limit of the safetensors library itself
MAX_TENSORS = 200_000
BITS: Mapping[str, int] = {
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "C64": 64,
    "F32": 32,
    "I32": 32,
    "U32": 32,
    "F16": 16,
    "BF16": 16,
    "I16": 16,
    "U16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
}
"""Bits that one number of each type takes."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: its type as the format writes it, its shape, and its first and last byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What is in a file, and the free text that came with it."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names of the tensors with their shapes."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}


def read_header(path: Path) -> Header:
    """The header of `path`, checked: every tensor's place holds its shape, and the places fill the file.

    Raises:
        ModelFileError: the file cannot be read, is not safetensors, or is cut short; the text names it.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if size - 8 < length <= MAX_HEADER and file.read(1) == b"{":
                raise ModelFileError(
                    "error.model.not_safetensors", file=path, why="it ends within its header"
                )
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ModelFileError(
                    "error.model.not_safetensors", file=path, why=_looks_like(path)
                )
            data = json.loads(file.read(length), object_pairs_hook=_once)
    except OSError as error:
        raise ModelFileError("error.model.read", file=path, why=reason(error)) from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            "error.model.not_safetensors", file=path, why=_looks_like(path)
        ) from error
    return _checked(path, data, 8 + length, size)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _checked(path: Path, data: Any, begin: int, size: int) -> Header:
    try:
        if not isinstance(data, dict):
            raise ValueError("a list of tensors by name is wanted")
        metadata = {str(key): str(value) for key, value in data.pop("__metadata__", {}).items()}
        if len(data) > MAX_TENSORS:
            raise ValueError("too many tensors")
        tensors = {name: _tensor(name, tensor, begin) for name, tensor in data.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"its header is not one ({error})" if str(error) else "its header is not one"
        raise ModelFileError("error.model.not_safetensors", file=path, why=why) from error
    end = max((tensor.end for tensor in tensors.values()), default=begin)
    if end > size:
        raise ModelFileError(
            "error.model.cut_short", file=path, found=size - begin, expected=end - begin
        )
    at = begin
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != at:
            raise ModelFileError(
                "error.model.not_safetensors",
                file=path,
                why=f"the place of {name[:200]} overlaps another or leaves a gap",
            )
        at = tensor.end
    if at != size:
        raise ModelFileError(
            "error.model.not_safetensors",
            file=path,
            why=f"{size - at} bytes after the last tensor belong to none",
        )
    return Header(tensors, metadata)


def _tensor(name: str, data: Any, begin: int) -> TensorInfo:
    try:
        dtype, shape, (start, end) = data["dtype"], data["shape"], data["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name[:200]}: not a type, a shape and a place") from error
    numbers = (*shape, start, end)
    if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers):
        raise ValueError(f"{name[:200]}: a size that is none")
    if len(shape) > 16:
        raise ValueError(f"{name[:200]}: {len(shape)} dimensions")
    if dtype not in BITS:
        raise ValueError(f"{name[:200]}: the type {str(dtype)[:40]}")
    # Python's integers do not overflow: a shape whose product wraps around in 64 bits is found out here.
    if end - start != -(-prod(shape) * BITS[dtype] // 8):
        raise ValueError(f"{name[:200]}: {end - start} bytes for the shape {list(shape)}")
    return TensorInfo(dtype, tuple(shape), begin + start, begin + end)


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
    if start.startswith(b"GGUF"):
        return "it is a GGUF file, which is another format"
    return "its first bytes are not a header"
