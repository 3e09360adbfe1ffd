"""Turns a legacy `.ckpt`, `.pt` or `.bin` into safetensors. Runs as a script in a process of its own (see `pickles`).

    python -I pickle_reader.py SOURCE TARGET SECONDS BYTES

A pickle is a program: it names functions and calls them. Here every name leads to an inert stand-in that takes down
what a tensor is; a name that no model needs ends the conversion before anything is called, and is reported. Neither
torch nor anything else of the file's is imported. The last line of the output is a JSON object: `tensors` (how many),
or `refused` (the name), or `error`.

Formats: torch.save's zip archives (since 1.6) and what it wrote before.
"""

import json
import math
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
MAX_TENSORS = 100_000
MAX_DEPTH = 8
STORAGES: Mapping[str, tuple[str, str]] = {
    "DoubleStorage": ("F64", "<f8"),
    "FloatStorage": ("F32", "<f4"),
    "HalfStorage": ("F16", "<f2"),
    "BFloat16Storage": ("BF16", "<u2"),
    "LongStorage": ("I64", "<i8"),
    "IntStorage": ("I32", "<i4"),
    "ShortStorage": ("I16", "<i2"),
    "CharStorage": ("I8", "<i1"),
    "ByteStorage": ("U8", "<u1"),
    "BoolStorage": ("BOOL", "<u1"),
}
"""torch's storage classes: the type's name in safetensors, and numpy's for the bytes."""


class Refused(Exception):
    """The file asks for something that is not data."""


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file."""

    kind: str
    key: str
    numel: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Inert:
    """Whatever it is, it is not needed: takes every argument and state and keeps none."""

    def __init__(self, *args: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __reduce__(self) -> Any:
        return (Inert, ())


def _tensor(storage: Storage, offset: int, shape: Any, strides: Any, *rest: object) -> Tensor:
    return Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _parameter(data: Any, *rest: object) -> Any:
    return data


class Kind:
    """A storage class, by name."""

    def __init__(self, name: str) -> None:
        self.name = name


_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.nn.parameter", "Parameter"): _parameter,
    ("torch", "Size"): tuple,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): lambda *rest: {},
    ("builtins", "set"): Inert,
    ("__builtin__", "set"): Inert,
    ("torch", "device"): Inert,
    ("torch", "dtype"): Inert,
    ("_codecs", "encode"): Inert,
    ("numpy", "dtype"): Inert,
    ("numpy", "ndarray"): Inert,
    ("numpy.core.multiarray", "scalar"): Inert,
    ("numpy.core.multiarray", "_reconstruct"): Inert,
    ("numpy._core.multiarray", "scalar"): Inert,
    ("numpy._core.multiarray", "_reconstruct"): Inert,
}
# What training programs leave in their checkpoints beside the weights; stands for nothing here.
_INERT_MODULES = ("pytorch_lightning.", "lightning.", "omegaconf.", "lightning_fabric.")


class Reader(pickle.Unpickler):
    """An unpickler that knows stand-ins only."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, Storage] = {}
        """Those that the pickle referred to."""

    def find_class(self, module: str, name: str) -> Any:
        """Raises: Refused: a name that no model needs."""
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module in ("torch", "torch.storage") and name in STORAGES:
            return Kind(name)
        if module.startswith(_INERT_MODULES):
            return Inert
        if (module, name) == ("torch", "float16") or (
            module == "torch" and name.startswith(("float", "bfloat", "int"))
        ):
            return Inert()
        raise Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """A storage: ("storage", class, key, device, numel, …)."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise ValueError("an unknown reference")
        kind = pid[1]
        if not isinstance(kind, Kind):
            raise ValueError("a storage of an unknown kind")
        if len(pid) > 5 and pid[5] is not None:
            raise ValueError("a storage that is a view of another")
        found = Storage(kind.name, str(pid[2]), int(pid[4]))
        return self.storages.setdefault(found.key, found)


def convert(source: str, target: str) -> int:
    """Write the tensors of `source` to `target` as safetensors; how many there are.

    Raises:
        Refused: it asks for something that is not data.
        ValueError, OSError, pickle.UnpicklingError …: it is damaged.
    """
    with open(source, "rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                root, read = _zipped(archive)
                return _write(_flat(root), read, target)
        file.seek(0)
        root, read = _legacy(file)
        return _write(_flat(root), read, target)


def _zipped(archive: zipfile.ZipFile) -> tuple[Any, Callable[[Storage], bytes]]:
    names = {info.filename: info for info in archive.infolist()}
    start = next((name for name in names if name.endswith("/data.pkl") or name == "data.pkl"), None)
    if start is None:
        raise ValueError("the archive holds no data.pkl")
    if any(info.compress_type != zipfile.ZIP_STORED for info in names.values()):
        raise ValueError("the archive is compressed, which torch never does")
    folder = start[: -len("data.pkl")]
    if names.get(f"{folder}byteorder") and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("its numbers are big-endian")
    with archive.open(start) as data:
        root = Reader(data).load()
    return root, lambda storage: archive.read(f"{folder}data/{storage.key}")


def _legacy(file: IO[bytes]) -> tuple[Any, Callable[[Storage], bytes]]:
    head = [Reader(file).load() for _ in range(2)]
    if head[0] != MAGIC:
        raise ValueError("it is not a file of torch.save")
    Reader(file).load()  # about the machine that wrote it
    reader = Reader(file)
    root = reader.load()
    keys = Reader(file).load()
    counts = {key: storage.numel for key, storage in reader.storages.items()}
    sizes = {
        key: storage.numel * np.dtype(STORAGES[storage.kind][1]).itemsize
        for key, storage in reader.storages.items()
    }
    places: dict[str, tuple[int, int]] = {}
    for key in map(str, keys):
        (count,) = struct.unpack("<q", file.read(8))
        if key not in sizes or counts[key] != count:
            raise ValueError("a storage that nothing refers to, of unknown size")
        places[key] = (file.tell(), sizes[key])
        file.seek(sizes[key], 1)

    def read(storage: Storage) -> bytes:
        start, size = places[storage.key]
        file.seek(start)
        return file.read(size)

    return root, read


def _flat(root: Any) -> list[tuple[str, Tensor]]:
    """Every tensor with the path of names that leads to it; a checkpoint's are all below `state_dict`."""
    if isinstance(root, dict) and isinstance(root.get("state_dict"), dict):
        root = root["state_dict"]
    found: list[tuple[str, Tensor]] = []
    waiting: list[tuple[str, Any, int]] = [("", root, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        if isinstance(value, Tensor):
            found.append((path or "tensor", value))
        elif isinstance(value, dict) and depth < MAX_DEPTH:
            waiting.extend(
                (f"{path}.{key}" if path else str(key), inner, depth + 1)
                for key, inner in reversed(value.items())
            )
        if len(found) > MAX_TENSORS or len(waiting) > 10 * MAX_TENSORS:
            raise ValueError("too many tensors")
    if not found:
        raise ValueError("it holds no tensors")
    if len({name for name, _ in found}) != len(found):
        raise ValueError("two tensors have the same name")
    return found


def _write(tensors: list[tuple[str, Tensor]], read: Callable[[Storage], bytes], target: str) -> int:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors:
        kind, numbers = STORAGES[tensor.storage.kind]
        size = math.prod(tensor.shape) * np.dtype(numbers).itemsize
        header[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [end, end + size],
        }
        end += size
    body = json.dumps(header).encode()
    body += b" " * (-len(body) % 8)
    with open(target, "xb") as out:
        out.write(struct.pack("<Q", len(body)) + body)
        for name, tensor in tensors:
            out.write(_numbers(name, tensor, read).data)
    return len(tensors)


def _numbers(name: str, tensor: Tensor, read: Callable[[Storage], bytes]) -> Any:
    numbers = np.dtype(STORAGES[tensor.storage.kind][1])
    whole = np.frombuffer(read(tensor.storage), numbers)
    sides = list(zip(tensor.shape, tensor.strides, strict=True))
    bad = tensor.offset < 0 or any(side < 0 or stride < 0 for side, stride in sides)
    last = tensor.offset + sum((side - 1) * stride for side, stride in sides)
    empty = 0 in tensor.shape
    if bad or (not empty and last >= len(whole)):
        raise ValueError(f"{name[:200]} lies outside its storage")
    if empty:
        return np.empty(0, numbers)
    view = np.lib.stride_tricks.as_strided(
        whole[tensor.offset :],
        tensor.shape,
        [stride * numbers.itemsize for stride in tensor.strides],
        writeable=False,
    )
    return np.ascontiguousarray(view).reshape(-1)


def limit(seconds: int, most_bytes: int) -> None:
    """Bound the time, the memory and the output of this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit remains
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str]) -> dict[str, object]:
    """What the script does, and what it answers."""
    source, target, seconds, most_bytes = arguments
    limit(int(seconds), int(most_bytes))
    try:
        return {"tensors": convert(source, target)}
    except Refused as refusal:
        return {"refused": str(refusal)[:200]}
    except MemoryError:
        return {"memory": True}
    # Damaged pickles raise errors of every kind; whoever asked is told which.
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {str(error)[:300]}"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1:])))
