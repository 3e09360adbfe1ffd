"""Whose the input pictures are: a guest finds those that he handed in, and of others not even that they are there.

A picture is kept once, under the hash of its pixels, and that hash stands in every picture that was made from it. So it
is a name and no secret: who may have the pixels is asked of the rows (`modules.services.input_rows`).
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from modules.errors import UserError
from modules.schema import GenerationRequest
from modules.services.access import GUEST_PREFIX
from modules.services.inputs import InputPictures, named_in

_AT_ONCE = 500
"""So many names are looked up together; the first one that is not there ends it."""


class Rows(Protocol):
    """`modules.services.input_rows.InputRows`."""

    def hand_in(self, client: str, names: Collection[str]) -> None: ...
    def handed_in(self, client: str, names: Sequence[str]) -> frozenset[str]: ...
    def all_handed_in(self) -> Sequence[tuple[int, str]]: ...
    def forget_handed_in(self, rows: Iterable[int]) -> None: ...


class HandedIn:
    """The input pictures of an installation; `of` is how somebody finds them."""

    def __init__(self, pictures: InputPictures, rows: Rows) -> None:
        self.pictures = pictures
        """All of them, whoever asks: nothing for a route."""
        self._rows = rows

    def of(self, client: str) -> "OwnInputs":
        """Those of a client: of a guest his own, of everybody else all."""
        return OwnInputs(self.pictures, self._rows, client)

    def clean(self, unused_seconds: float, keep: frozenset[str] = frozenset()) -> int:
        """Remove pictures as `InputPictures.clean` does, and the rows of those that are gone; how many pictures.

        Raises:
            StorageError: the folder or the rows refuse.
        """
        if not self.pictures.folder.is_dir():
            return 0  # a folder that is away for a while takes no rows with it
        rows = self._rows.all_handed_in()  # read first: who hands one in meanwhile has a new row
        gone = self.pictures.clean(unused_seconds, keep)
        lost = [number for number, name in rows if not self.pictures.has(name)]
        if lost:
            self._rows.forget_handed_in(lost)
        return gone


class OwnInputs:
    """The input pictures as one client finds them. What is somebody else's is answered as what does not exist."""

    def __init__(self, pictures: InputPictures, rows: Rows, client: str) -> None:
        self._pictures = pictures
        self._rows = rows
        self._client = client
        self._guest = client.startswith(GUEST_PREFIX)

    def add(self, data: bytes, name: str = "upload") -> str:
        """Hand a picture in, as `InputPictures.add`; whoever has its pixels may have it.

        Raises:
            LimitError, UserError, StorageError: as there.
        """
        found = self._pictures.add(data, name)
        if self._guest:
            self._rows.hand_in(self._client, (found,))
        return found

    def path(self, name: str) -> Path:
        """The file of a picture.

        Raises:
            UserError: there is none of that id.
        """
        self._need((name,))
        return self._pictures.path(name)

    def size(self, name: str) -> tuple[int, int]:
        """Width and height, without reading the pixels.

        Raises:
            UserError: there is none of that id.
        """
        self._need((name,))
        return self._pictures.size(name)

    def check(self, asked: GenerationRequest) -> None:
        """Refuse a request that names a picture which is not the client's, whichever field or option names it.

        Raises:
            UserError: there is none of that id.
        """
        if self._guest:
            self._need(named_in(asked.model_dump()))

    def _need(self, names: Iterable[str]) -> None:
        if not self._guest:
            return
        # The rows alone decide, before any file is looked at: whether there is one takes no time that could be measured.
        seen: set[str] = set()
        some: list[str] = []
        for name in names:
            if name not in seen:
                seen.add(name)
                some.append(name)
            if len(some) == _AT_ONCE:
                self._all_own(some)
                some = []
        self._all_own(some)

    def _all_own(self, names: Sequence[str]) -> None:
        own = self._rows.handed_in(self._client, names) if names else frozenset()
        for name in names:
            if name not in own:
                raise UserError("error.input.missing", id=name[:12])
