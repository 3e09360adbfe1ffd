"""Rows of the queue's file ⇄ what the program calls jobs and pictures."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modules.errors import UserError
from modules.schema import GenerationRequest, Job, JobState, Picture
from modules.services.database import marks

Clients = str | tuple[str, ...]
"""A client, or several that are one person: a visitor on this machine and the command line."""


def of_client(client: Clients | None) -> tuple[str, tuple[str, ...]]:
    """The condition for the jobs of `client` and its values; None is everybody's."""
    if client is None:
        return "1", ()
    names = (client,) if isinstance(client, str) else client
    return f"jobs.client IN ({marks(names)})", names


def newest(
    table: str,
    client: Clients | None,
    condition: str,
    values: Sequence[object],
    limit: int,
    offset: int,
) -> tuple[str, tuple[object, ...]]:
    """The query for the newest rows of `client` (None: of everybody), and its values.

    Of each of several names no more rows are looked at than are wanted: with `IN` SQLite would sort all that they have.
    """
    most = limit + offset
    names: tuple[str | None, ...] = (
        (client,) if client is None or isinstance(client, str) else client
    )
    part = f"SELECT * FROM {table} WHERE {condition} AND {{}} ORDER BY id DESC LIMIT ?"
    if names == (None,):
        return f"{part.format('1')} OFFSET ?", (*values, limit, offset)
    each = f"SELECT * FROM ({part.format('client = ?')})"
    found = [value for name in names for value in (*values, name, most)]
    together = " UNION ALL ".join([each] * len(names))
    return f"SELECT * FROM ({together}) ORDER BY id DESC LIMIT ? OFFSET ?", (*found, limit, offset)


def job_of(
    row: sqlite3.Row, pictures: tuple[Picture, ...], request: GenerationRequest | None = None
) -> Job:
    """The job of a row; `request` is what its text says, for who knows it already."""
    return Job(
        id=row["id"],
        uid=row["uid"],
        state=JobState(row["state"]),
        request=request or _request(row["request"]),
        client=row["client"],
        attempts=row["attempts"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        error=None if row["error"] is None else json.loads(row["error"]),
        warnings=tuple(_warning(each) for each in json.loads(row["warnings"])),
        pictures=pictures,
        cells=row["cells"],
        sheets=row["sheets"],
    )


def _warning(kept: object) -> dict[str, Any]:
    """What early versions kept was English text."""
    return kept if isinstance(kept, dict) else UserError(str(kept)).to_dict()


def readable(text: str) -> bool:
    """Whether this version understands the request of a row."""
    try:
        GenerationRequest.model_validate_json(text)
    except ValidationError:
        return False
    return True


def _request(text: str) -> GenerationRequest:
    """The request of a row; of one that another version wrote, what this version understands.

    A row that cannot be read at all must not hide the others: it is shown as an empty request.
    """
    try:
        return GenerationRequest.model_validate_json(text)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
    try:
        data = json.loads(text)
        return GenerationRequest.model_validate({k: v for k, v in data.items() if k not in wrong})
    except (ValueError, AttributeError, RecursionError):
        return GenerationRequest()


def picture_of(row: sqlite3.Row) -> Picture:
    """The picture of a row."""
    return Picture(
        id=row["id"],
        job_id=row["job_id"],
        index=row["number"],
        path=Path(row["path"]),
        width=row["width"],
        height=row["height"],
        seed=row["seed"],
        infotext=row["infotext"],
        created=row["created"],
    )
