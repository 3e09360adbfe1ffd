"""Which extension's code is running, for whoever has to end it when it does not come back.

The worker's process writes it into a small file that both processes map into memory; the page's process reads it.
That costs the worker a microsecond a call and works also while its interpreter is stuck.
"""

import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

_SIZE = 512
_HEAD_SIZE = 10
_HEAD = "<QH"
"""A number that changes with every call, and the length of the text that follows."""

Inside = Callable[[str, str], AbstractContextManager[None]]
"""Told which extension's code runs, and which hook of it."""


@dataclass(frozen=True)
class Where:
    """A call that has not returned: `call` differs for every call."""

    call: int
    extension: str
    hook: str


def nowhere(extension: str, hook: str) -> AbstractContextManager[None]:
    """Nobody asks which extension is running."""
    return nullcontext()


class Board:
    """One side writes, the other reads; `file` is made by who comes first."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "a+b") as handle:
            if handle.seek(0, 2) < _SIZE:
                handle.truncate(_SIZE)
            handle.flush()
            self._memory = mmap.mmap(handle.fileno(), _SIZE)
        self._call = 0
        self._stack: list[bytes] = []

    def clear(self) -> None:
        """Nothing is running."""
        self._stack.clear()
        self._write(b"")

    @contextmanager
    def inside(self, extension: str, hook: str) -> Iterator[None]:
        """The code of `extension` runs until the block ends."""
        self._stack.append(f"{extension}\n{hook}".encode()[: _SIZE - _HEAD_SIZE])
        self._write(self._stack[-1])
        try:
            yield
        finally:
            self._stack.pop()
            self._write(self._stack[-1] if self._stack else b"")

    def read(self) -> Where | None:
        """What is running, or None; None as well in the moment of a change."""
        call, length = struct.unpack_from(_HEAD, self._memory)
        text = self._memory[_HEAD_SIZE : _HEAD_SIZE + length]
        if not length or struct.unpack_from(_HEAD, self._memory) != (call, length):
            return None
        extension, _, hook = text.decode("utf-8", "replace").partition("\n")
        return Where(call, extension, hook)

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()

    def _write(self, text: bytes) -> None:
        self._call += 1
        self._memory[_HEAD_SIZE : _HEAD_SIZE + len(text)] = text
        struct.pack_into(_HEAD, self._memory, 0, self._call, len(text))
