"""Filling a model with the tensors of files: one at a time, straight into memory of the right type.

Not through a memory map: its pages count as the process's memory as long as they are in, and a file that is replaced
while it is mapped changes the model, or ends the process.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch

from modules.errors import ModelFileError, reason
from modules.library.headers import Header, TensorInfo, read_header
from modules.library.layouts import Layout, Place

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


@dataclass(frozen=True)
class Source:
    """The files of one part, as if they were one."""

    path: Path
    """What errors name: the file, or the part's folder."""
    files: tuple[Path, ...]
    headers: tuple[Header, ...]

    @classmethod
    def of(cls, path: Path, files: Sequence[Path]) -> "Source":
        """Reads the headers of `files`."""
        return cls(path, tuple(files), tuple(read_header(file) for file in files))

    def names(self) -> dict[str, tuple[int, TensorInfo]]:
        """Every tensor with the number of its file."""
        return {
            name: (number, tensor)
            for number, header in enumerate(self.headers)
            for name, tensor in header.tensors.items()
        }


def build(make: Callable[[], Any]) -> Any:
    """The model that `make` builds, without memory for its parameters: `fill` gives it that."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        return make()


def fill(
    model: Any,
    source: Source,
    layout: Layout,
    device: torch.device,
    dtype: torch.dtype,
    *,
    own: Iterable[str],
    unused: Callable[[str], bool] = lambda name: False,
) -> Any:
    """Give every parameter of `model` its tensor; the model, frozen and in evaluation mode.

    Args:
        layout: says where each parameter is.
        own: beginnings of the names that belong to this part ("" for all).
        unused: names among these that the model has no use for, and that is all right.

    Raises:
        ModelFileError: a tensor is missing, left over, or of another shape; names it.
    """
    known = source.names()
    state = model.state_dict()
    # Whole numbers are counters of training: a model has its own, and a file may bring some.
    counted = {name: value for name, value in state.items() if not value.is_floating_point()}
    wanted = {name: value for name, value in state.items() if name not in counted}
    plan: dict[str, tuple[Place, int, TensorInfo]] = {}
    missing = []
    for name, empty in wanted.items():
        found = next((place for place in layout(name) if place.name in known), None)
        if found is None:
            missing.append(next(iter(layout(name))).name)
            continue
        number, tensor = known[found.name]
        _check_shape(source.path, found, tensor, tuple(empty.shape))
        plan[name] = (found, number, tensor)
    if missing:
        raise ModelFileError(
            "error.model.tensors", file=source.path, count=len(missing), first=sorted(missing)[0]
        )
    used = {place.name for place, _, _ in plan.values()}
    beginnings = tuple(own)
    over = [
        name
        for name in known
        if name not in used
        and name not in counted
        and name.startswith(beginnings)
        and not unused(name)
    ]
    if over:
        raise ModelFileError(
            "error.model.unexpected", file=source.path, count=len(over), first=sorted(over)[0]
        )
    filled = _read(source, plan, wanted, device, dtype)
    model.load_state_dict({**counted, **filled}, strict=True, assign=True)
    return model.to(device).eval().requires_grad_(False)


def read_tensor(
    file: BufferedReader, tensor: TensorInfo, room: torch.Tensor | None = None
) -> torch.Tensor:
    """One tensor of an open file, in the file's own type.

    Args:
        room: bytes to read it into, at least as many as it has; None takes new memory.

    Raises:
        OSError: the file ends before the tensor does.
    """
    size = tensor.end - tensor.start
    raw = torch.empty(size, dtype=torch.uint8) if room is None else room[:size]
    file.seek(tensor.start)
    if len(raw) and file.readinto(memoryview(raw.numpy())) != len(raw):
        raise OSError("the file became shorter while it was read")
    return raw.view(DTYPES[tensor.dtype]).reshape(tensor.shape)


def read_all(path: Path, header: Header) -> dict[str, torch.Tensor]:
    """Every tensor of a small file.

    Raises:
        ModelFileError: it cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return {
                name: read_tensor(file, tensor)  # type: ignore[arg-type]  # raw files read alike
                for name, tensor in header.tensors.items()
                if tensor.dtype in DTYPES
            }
    except OSError as error:
        raise ModelFileError("error.model.read", file=path, why=reason(error)) from error


def _check_shape(path: Path, place: Place, tensor: TensorInfo, shape: tuple[int, ...]) -> None:
    found = tensor.shape
    if place.piece is not None and found and found[0] % 3 == 0:
        found = (found[0] // 3, *found[1:])
    if place.turned:
        found = found[::-1]
    # Old autoencoders and SD 1.x write a matrix as a 1 x 1 convolution, or the other way round.
    if _bare(found) != _bare(shape) or tensor.dtype not in _FLOATS:
        raise ModelFileError(
            "error.model.shape",
            file=path,
            tensor=place.name,
            found=f"{list(tensor.shape)} {tensor.dtype}",
            expected=list(shape),
        )


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def _read(
    source: Source,
    plan: Mapping[str, tuple[Place, int, TensorInfo]],
    wanted: Mapping[str, torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, torch.Tensor]:
    state = {}
    # One place for what is read: taken and given back for each tensor, memory would be left full of holes.
    most = max((tensor.end - tensor.start for _, _, tensor in plan.values()), default=0)
    room = torch.empty(most, dtype=torch.uint8)
    try:
        with ExitStack() as opened:
            files = [opened.enter_context(path.open("rb")) for path in source.files]
            # In the order of the file: a disk reads on, and pieces of one tensor are read one after the other.
            ordered = sorted(plan.items(), key=lambda item: (item[1][1], item[1][2].start))
            for name, (place, number, tensor) in ordered:
                value = read_tensor(files[number], tensor, room)
                if place.piece is not None:
                    value = value.chunk(3)[place.piece]
                if place.turned:
                    value = value.T
                state[name] = value.reshape(wanted[name].shape).to(
                    device, dtype, copy=True, memory_format=torch.contiguous_format
                )
    except OSError as error:
        raise ModelFileError("error.model.read", file=source.path, why=reason(error)) from error
    return state
