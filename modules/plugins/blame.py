"""Whose error it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from modules.errors import Cancelled, ExtensionError, RefusedError, UserError


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
        raise failed(extension, error) from error


def failed(extension: str, error: Exception) -> ExtensionError:
    """The words for what an extension raised; a `UserError` keeps its own, and is what the extension refuses."""
    named: ExtensionError
    if isinstance(error, UserError):
        named = RefusedError("error.extension.refused", extension=extension, why=error)
    else:
        why = f"{type(error).__name__}: {error}"[:500].rstrip(".") + "."
        named = ExtensionError("error.extension.failed", extension=extension, why=why)
    named.__cause__ = error
    return named


def broke_promise(extension: str, hook: str, why: str, **values: object) -> ExtensionError:
    """What an extension gave or did that the hook does not allow; `why` is a key below `error.extension.promise.`."""
    reason = UserError(f"error.extension.promise.{why}", **values)
    return ExtensionError("error.extension.promise", extension=extension, hook=hook, why=reason)


def problem(en: str, zh: str) -> UserError:
    """An error in an extension's own words, in both languages: `raise problem("No such style.", "没有此风格。")`."""
    return UserError("error.extension.said", en=en, zh=zh)
