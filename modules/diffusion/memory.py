"""What to do when memory runs out: try again, each time with less of it in use, and say so."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

Result = TypeVar("Result")


@dataclass(frozen=True)
class Remedy:
    """One way to need less memory: `notice` is the key of what the user is told; `take` holds while the work is redone."""

    notice: str
    take: Callable[[], AbstractContextManager[None]]


def within_memory(
    work: Callable[[], Result], remedies: Sequence[Remedy], tell: Callable[[str], None]
) -> Result:
    """The result of `work`, done again with one more remedy each time that memory runs out.

    Remedies add up, each is tried once, and all are undone when the work is over.

    Args:
        work: can be done again from its beginning.
        tell: gets the notice of each remedy before it is tried.

    Raises:
        torch.OutOfMemoryError: all remedies together do not suffice.
    """
    with ExitStack() as taken:
        for remedy in remedies:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
            # Outside of `except`: the traceback holds the frames, and these the tensors.
            free()
            tell(remedy.notice)
            taken.enter_context(remedy.take())
        return work()


def ran_out(error: BaseException) -> bool:
    """The error says that there was too little memory; on a CPU torch says so by a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower()
    )


def free() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def offloaded(modules: Sequence[nn.Module | None]) -> Iterator[None]:
    """The modules' weights in the host's memory until the block ends; those that are there already stay.

    Tensors keep their identity, only their storage moves, so whoever holds a parameter still holds it after.
    """
    moved: list[tuple[torch.Tensor, torch.device]] = []
    try:
        for module in modules:
            for tensor in () if module is None else (*module.parameters(), *module.buffers()):
                if tensor.device.type != "cpu":
                    moved.append((tensor, tensor.device))
                    tensor.data = tensor.data.to("cpu")
        free()
        yield
    finally:
        for tensor, device in moved:
            tensor.data = tensor.data.to(device)
