"""The memory of a process that is built once and then answers for days: what was built is not searched for garbage again.

Python's collector looks at everything that it knows, several times while the page is built and every so often
afterwards; with this page that is half a million objects and 0.1 to 0.3 s, in which no request is answered.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def building() -> Iterator[Callable[[], None]]:
    """No collection until what it gives is called: then all that is there counts as kept, and only newer things are looked at.

    At the end the collector is as it was. It is the whole process's, so this belongs where a process begins.
    """
    was_on = gc.isenabled()
    gc.disable()

    def built() -> None:
        gc.freeze()
        if was_on:
            gc.enable()

    try:
        yield built
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
