"""Rows of the queue's file ⇄ what the program calls jobs and pictures."""

import json
import sqlite3
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


def job_of(row: sqlite3.Row, pictures: tuple[Picture, ...]) -> Job:
    """The job of a row."""
    return Job(
        id=row["id"],
        uid=row["uid"],
        state=JobState(row["state"]),
        request=_request(row["request"]),
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
