"""Errors whose text may be shown to the user, and the one that stops a job.

Everything else that is raised is a fault of ours: it is logged with its traceback and the job fails.
"""

import errno
import socket
from collections.abc import Mapping
from typing import Self

from modules.texts import catalogue, translate


class UserError(Exception):
    """Says what was found and what to do; "show this text to the user".

    `key` names a text of the catalogue (`modules/locales`), `values` fill its `{names}`. A key that the
    catalogue does not have is the text itself, so that an extension may raise `UserError("Plain words.")`.
    A value may be a `UserError` itself: a reason, said in the same language. The value `field` is the name of a
    field of a request or setting, shown as people know it (`field.<name>` in the catalogue).
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key, values)
        self.key = key
        self.values: Mapping[str, object] = values

    def message(self, language: str = "en") -> str:
        """The text in `language` ("en" or "zh")."""
        values = {name: _said(name, value, language) for name, value in self.values.items()}
        return translate(self.key, language, **values)

    def __str__(self) -> str:
        return self.message()

    def to_dict(self) -> dict[str, object]:
        """Plain data, to cross a process border or to be kept with a job."""
        values = {name: _plain(value) for name, value in self.values.items()}
        return {"kind": type(self).__name__, "key": self.key, "values": values}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`; an unknown kind becomes a plain `UserError`."""
        kinds = {kind.__name__: kind for kind in _family(UserError)}
        kind = kinds.get(str(data.get("kind")), UserError)
        error = kind.__new__(kind)
        values = data.get("values")
        known = {
            str(name): UserError.from_dict(value) if isinstance(value, Mapping) else value
            for name, value in (values.items() if isinstance(values, Mapping) else ())
        }
        UserError.__init__(error, str(data.get("key", "")), **known)
        return error  # type: ignore[return-value]  # a child class is what the data named


class UnknownNameError(UserError):
    """A model, sampler, schedule … that does not exist here."""


class LimitError(UserError):
    """A number beyond what this installation allows."""


class ModelFileError(UserError):
    """A weight file or folder that cannot be read or used."""


class StorageError(UserError):
    """The disk is full, read-only or gone."""


class EndingError(UserError):
    """The program is being ended: nobody is kept waiting any longer."""


class ExtensionError(UserError):
    """An extension failed; the text names it, and so does `values["extension"]`."""


class RefusedError(ExtensionError):
    """An extension said no in words of its own: bad input, which is not counted as a failure of the extension."""


class ModelLeftChangedError(ExtensionError):
    """An extension left a model other than it found it: what is in memory has to be loaded again."""


class Cancelled(Exception):  # not a failure: somebody asked for it
    """Raised inside a job by `report` when the job is asked to stop."""


class Skipped(Cancelled):
    """Raised inside a job by `report` when the batch that is being made is to be left out."""


_SYSTEM = {
    errno.ENOENT: "missing",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EROFS: "read_only",
    errno.ENOSPC: "full",
    errno.ENOTDIR: "in_the_way",
    errno.EEXIST: "in_the_way",
    errno.EISDIR: "folder",
    errno.ENAMETOOLONG: "name",
    errno.EIO: "broken",
    errno.EMFILE: "handles",
    errno.ENFILE: "handles",
    errno.EADDRNOTAVAIL: "address",
}


def reason(error: OSError) -> UserError:
    """What the system answered, without its numbers and paths: to be the `why` of a message that names the path."""
    if isinstance(error, socket.gaierror):
        return UserError("why.os.name_unknown")
    key = _SYSTEM.get(error.errno or 0)
    if key is None:
        return UserError("why.os.other", what=error.strerror or str(error) or type(error).__name__)
    return UserError(f"why.os.{key}")


def cause(error: Exception) -> "UserError | Exception":
    """The `why` of a message: what the system answered in the reader's language, what a library said as it said it."""
    return reason(error) if isinstance(error, OSError) and error.errno else error


def _said(name: str, value: object, language: str) -> object:
    if isinstance(value, UserError):
        return value.message(language)
    if name == "field" and f"field.{value}" in catalogue("en"):
        return translate(f"field.{value}", language)
    return value


def _plain(value: object) -> object:
    if isinstance(value, UserError):
        return value.to_dict()
    return value if isinstance(value, int | float) else str(value)


def _family(kind: type[UserError]) -> list[type[UserError]]:
    return [kind, *(child for sub in kind.__subclasses__() for child in _family(sub))]
