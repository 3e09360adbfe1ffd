"""Whose error it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from modules.errors import Cancelled, ExtensionError, UserError


@contextmanager
def blame(extension: str) -> Iterator[None]:
    """Turn whatever the code of an extension raises into an `ExtensionError` that names it.

    A cancelled job is nobody's error and passes, as does an error that carries a name already.
    """
    try:
        yield
    except (Cancelled, ExtensionError):
        raise
    except Exception as error:  # whatever it is: it becomes the extension's, with the cause kept
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise ExtensionError("error.extension.failed", extension=extension, why=why) from error
