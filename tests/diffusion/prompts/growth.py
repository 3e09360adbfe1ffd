"""How the work of a function grows with its input, as a ratio, so that the machine's speed does not matter."""

import gc
import time
from collections.abc import Callable

SHORT, LONG = 6_000, 48_000


def growth(function: Callable[[str], object], pattern: str) -> float:
    """Work on 48 KB of a repeated pattern over that on 6 KB: about 8 if linear, about 64 if quadratic.

    The smallest of some tries: others on the machine can only make a single one look worse, or the short one shorter.
    """
    found = float("inf")
    for _ in range(TRIES):
        short, long = (
            min(_work(function, pattern * (length // len(pattern))) for _ in range(2))
            for length in (SHORT, LONG)
        )
        found = min(found, long / max(short, 2e-4))
        if found < LINEAR:
            break
    return found


TRIES = 4
LINEAR = 28.0
"""Between the two."""


def _work(function: Callable[[str], object], text: str) -> float:
    gc.collect()
    gc.disable()  # a full collection in between walks through what all other tests left
    try:
        began = time.thread_time()
        function(text)
        return time.thread_time() - began
    finally:
        gc.enable()
