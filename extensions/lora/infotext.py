"""What a picture's text says of LoRAs beside the prompt's tags, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

from .rows import Row
from .tags import rows_of, tag_text, unread

HASHES = "Lora hashes"
ROWS = "Lora rows"
UNREAD = "Lora tags not used"


def written_rows(rows: Sequence[Row]) -> dict[str, str]:
    """Rows that no tag of the prompt says, written as tags; nothing without any.

    A tag cannot say that a row is for some pictures of a batch only: such a row stands in the picture's JSON alone.
    """
    text = " ".join(tag_text(row) for row in rows if not row.pictures)
    return {ROWS: text} if text else {}


def read(parameters: Mapping[str, str]) -> tuple[dict[str, Any], list[str]] | None:
    """Rows that the prompt's tags do not say, and the keys that are ours.

    The tags themselves are read from the prompt. Hashes and what went unused say nothing to be set.
    """
    keys = [key for key in (HASHES, UNREAD) if key in parameters]
    text = parameters.get(ROWS, "")
    rows = () if unread(text) else rows_of(text)
    if rows:
        return {"rows": [row.model_dump(mode="json") for row in rows]}, [*keys, ROWS]
    return ({}, keys) if keys else None
