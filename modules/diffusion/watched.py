"""Looking up from a long call of a module, between its blocks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

LOOK_SECONDS = 0.2
"""At most so often: what is quick is not slowed down by being watched."""


@contextmanager
def watched(module: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """While it lasts, `check` is called on the way through `module`: before a block of it, where the last call was
    `LOOK_SECONDS` ago.

    Blocks are what stands in the module's lists, such as the residual blocks of an autoencoder.

    Args:
        check: may raise to stop.
    """
    last = time.monotonic()

    def look(block: nn.Module, given: Any) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOOK_SECONDS:
            last = now
            check()

    lists = [each for each in module.modules() if isinstance(each, nn.ModuleList | nn.Sequential)]
    blocks = dict.fromkeys(block for each in lists for block in each)
    handles = [block.register_forward_pre_hook(look) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
