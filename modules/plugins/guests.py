"""What an extension lets guests do on the page; everything else of it is the owner's."""

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])

_MARK = "_noisette_for_guests"


def for_guests(function: F) -> F:
    """Guests may call this function of a tab or of a `gr.HTML`, too: it changes nothing and tells no secret.

    Without the mark it is refused to everybody but the owner, once others can reach the program. What makes pictures
    goes through the queue and needs no mark.
    """
    setattr(function, _MARK, True)
    return function


def is_for_guests(function: object) -> bool:
    """Whether it has the mark."""
    return getattr(function, _MARK, False) is True
