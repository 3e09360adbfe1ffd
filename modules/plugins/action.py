"""A button of a panel that queues pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modules.plugins.blame import broke_promise
from modules.schema import GenerationRequest

MOST = 100
"""Pictures that one click may ask for."""


@dataclass(frozen=True)
class Action:
    """`run` names a function in the extension's own files, `"sweep:strip"`, called in the page's process.

    It is called as `run(request)` with what the tab's controls hold, its seed drawn, and returns one `Planned` for
    each picture. They are queued as the visitor's own, all or none, and shown below the panel under their labels.
    """

    name: str
    title: str
    title_zh: str = ""
    run: str = "actions:run"


@dataclass(frozen=True)
class Planned:
    """One picture: what to ask for, and the labels of its place: of the column and, in a table, of the row."""

    request: GenerationRequest
    labels: tuple[str, ...] = ()


Plan = Callable[[GenerationRequest], Sequence[Planned]]


def checked(extension: str, action: Action, found: object) -> tuple[Planned, ...]:
    """What an action gave, which has to be a plan.

    Raises:
        ExtensionError: it is none.
    """
    rows = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else [found]
    planned: list[Planned] = []
    for row in rows:
        if not isinstance(row, Planned) or not all(isinstance(each, str) for each in row.labels):
            said = type(row).__name__
            raise broke_promise(extension, action.run, "type", wanted="list[Planned]", found=said)
        planned.append(row)
    if not 1 <= len(rows) <= MOST:
        raise broke_promise(
            extension, action.run, "type", wanted=f"1…{MOST} Planned", found=str(len(rows))
        )
    return tuple(planned)
