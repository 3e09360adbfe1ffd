"""What the header of a LoRA file says, without its weights; and the hash by which the world knows it."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open

from modules.plugins import problem

from .architecture import Shape
from .dialects import MAX_KEYS

SHORT_HASH = 12


@dataclass(frozen=True)
class Header:
    """Shapes of the tensors by key, and the free text that came with them."""

    shapes: Mapping[str, Shape]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_header(path: Path) -> Header:
    """The header of a safetensors file.

    Raises:
        UserError: it cannot be read, is damaged or of another kind; the text names the file.
    """
    try:
        with safe_open(str(path), "np") as file:
            keys = list(file.keys())
            if len(keys) > MAX_KEYS:
                raise problem(
                    f"{path.name} holds {len(keys)} tensors, which no LoRA has.",
                    f"{path.name} 含有 {len(keys)} 个张量，不可能是 LoRA。",
                )
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in keys}
            return Header(shapes, dict(file.metadata() or {}))
    except OSError as error:
        why = error.strerror or error
        raise problem(
            f"{path.name} cannot be read ({why}).", f"{path.name} 无法读取（{why}）。"
        ) from error
    except SafetensorError as error:
        raise problem(
            f"{path.name} is not a whole safetensors file ({error}). Download it again.",
            f"{path.name} 不是完整的 safetensors 文件（{error}）。请重新下载。",
        ) from error


def short_hash(path: Path, metadata: Mapping[str, str]) -> str:
    """12 hexadecimal digits, as infotext gives them ("AutoV3"): what the trainer noted, or SHA-256 of the tensors' bytes.

    The header is left out, so that a file keeps its hash when a title or a picture is added to it.
    """
    noted = metadata.get("sshs_model_hash", "")
    if len(noted) >= SHORT_HASH and all(digit in "0123456789abcdef" for digit in noted.lower()):
        return noted.lower()[:SHORT_HASH]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        file.seek(8 + length)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:SHORT_HASH]


def json_object(text: str | None, most: int = 4_000_000) -> Mapping[str, object]:
    """A JSON object out of a header's text; whatever else is there is an empty one."""
    if not text or len(text) > most:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
