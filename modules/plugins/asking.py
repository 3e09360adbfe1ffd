"""A question to an extension's code, which answers in time and in its own name."""

import logging
from collections.abc import Callable
from typing import TypeVar

from modules.errors import ExtensionError, UserError
from modules.plugins.blame import failed
from modules.plugins.limit import Hung, limited

log = logging.getLogger(__name__)

ACTION_SECONDS = 30.0
"""So long an answer may take that somebody waits for."""

Result = TypeVar("Result")


def asked(
    extension: str, what: str, call: Callable[[], Result], seconds: float = ACTION_SECONDS
) -> Result:
    """What `call`, code of `extension` known as `what`, answers.

    Raises:
        UserError: its own words to whoever asks.
        ExtensionError: it failed by itself, or took longer than `seconds`.
    """
    try:
        return limited(call, seconds)
    except Hung as error:
        raise hung(extension, what, error) from error
    except UserError:
        raise  # its own words
    except Exception as error:  # it may raise anything: its name is blamed
        raise failed(extension, error) from error


def hung(extension: str, what: str, error: Hung) -> ExtensionError:
    """The words for a call that was given up; where it was stands in the log and in a note."""
    named = ExtensionError(
        "error.extension.hung", extension=extension, hook=what, seconds=error.seconds
    )
    log.error("%s\n%s", named, error.stack)
    named.add_note(error.stack)
    return named
