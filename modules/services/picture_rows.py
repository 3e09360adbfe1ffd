"""The index of saved pictures: one row each, found by what stands in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from modules.errors import UserError
from modules.schema import Picture
from modules.services.database import Database
from modules.services.rows import Clients, newest, picture_of

MOST_WORDS = 20


@dataclass(frozen=True)
class PictureSearch:
    """What a picture must have to be found; empty finds all."""

    text: str = ""
    """Words that all stand in its text (prompt, sampler, model …), in any case."""
    seed: int | None = None
    job_id: int | None = None
    since: float | None = None
    """Made at this moment or later, in seconds since the epoch."""
    until: float | None = None


@dataclass(frozen=True)
class Totals:
    """Figures of a whole data folder; `seconds` is what its `done` jobs took together."""

    pictures: int
    done: int
    seconds: float


class PictureRows(Database):
    """What the queue's file knows of pictures."""

    def pictures(
        self,
        *,
        client: Clients | None = None,
        search: PictureSearch | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Picture]:
        """Pictures, the newest first."""
        wanted, values = _conditions(search or PictureSearch())
        sql, bound = newest("pictures", client, wanted, values, limit, offset)
        with self._reading(alone=True) as db:
            return [picture_of(row) for row in db.execute(sql, bound).fetchall()]

    def totals(self) -> Totals:
        """What was done since this data folder began."""
        with self._reading() as db:
            (pictures,) = db.execute("SELECT count(*) FROM pictures").fetchone()
            count, seconds = db.execute(
                "SELECT count(*), total(max(0, finished - started)) FROM jobs WHERE state = 'done'"
            ).fetchone()
            return Totals(int(pictures), int(count), float(seconds))

    def picture(self, picture_id: int) -> Picture:
        """One picture.

        Raises:
            UserError: there is no such picture.
        """
        with self._reading(alone=True) as db:
            row = db.execute("SELECT * FROM pictures WHERE id = ?", (picture_id,)).fetchone()
            if row is None:
                raise UserError("error.picture.unknown", id=picture_id)
            return picture_of(row)


def _conditions(search: PictureSearch) -> tuple[str, list[object]]:
    """The SQL of a search and its values."""
    found = ["1"]
    values: list[object] = []
    for word in search.text.encode("utf-8", "replace").decode().split()[:MOST_WORDS]:
        found.append("pictures.infotext LIKE ? ESCAPE '!'")
        plain = word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        values.append(f"%{plain}%")
    for column, sign, value in (
        ("seed", "=", search.seed),
        ("job_id", "=", search.job_id),
        ("created", ">=", search.since),
        ("created", "<=", search.until),
    ):
        if value is not None:
            found.append(f"pictures.{column} {sign} ?")
            values.append(value)
    return " AND ".join(found), values
