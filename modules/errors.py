"""Errors whose text may be shown to the user, and the one that stops a job.

Everything else that is raised is a fault of ours: it is logged with its traceback and the job fails.
"""

from collections.abc import Mapping
from typing import Self

from modules.texts import translate


class UserError(Exception):
    """Says what was found and what to do; "show this text to the user".

    `key` names a text of the catalogue (`modules/locales`), `values` fill its `{names}`. A key that the
    catalogue does not have is the text itself, so that an extension may raise `UserError("Plain words.")`.
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key, values)
        self.key = key
        self.values: Mapping[str, object] = values

    def message(self, language: str = "en") -> str:
        """The text in `language` ("en" or "zh")."""
        return translate(self.key, language, **self.values)

    def __str__(self) -> str:
        return self.message()

    def to_dict(self) -> dict[str, object]:
        """Plain data, to cross a process border or to be kept with a job."""
        values = {k: v if isinstance(v, int | float) else str(v) for k, v in self.values.items()}
        return {"kind": type(self).__name__, "key": self.key, "values": values}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`; an unknown kind becomes a plain `UserError`."""
        kinds = {kind.__name__: kind for kind in _family(UserError)}
        kind = kinds.get(str(data.get("kind")), UserError)
        error = kind.__new__(kind)
        values = data.get("values")
        UserError.__init__(
            error, str(data.get("key", "")), **dict(values if isinstance(values, Mapping) else {})
        )
        return error  # type: ignore[return-value]  # a child class is what the data named


class UnknownNameError(UserError):
    """A model, sampler, schedule … that does not exist here."""


class LimitError(UserError):
    """A number beyond what this installation allows."""


class ModelFileError(UserError):
    """A weight file or folder that cannot be read or used."""


class StorageError(UserError):
    """The disk is full, read-only or gone."""


class ExtensionError(UserError):
    """An extension failed; the text names it."""


class Cancelled(Exception):  # not a failure: somebody asked for it
    """Raised inside a job by `report` when the job is asked to stop."""


def _family(kind: type[UserError]) -> list[type[UserError]]:
    return [kind, *(child for sub in kind.__subclasses__() for child in _family(sub))]
