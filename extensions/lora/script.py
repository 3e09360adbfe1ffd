"""What programs that speak `/sdapi/v1` expect of tags: one that names nothing is told beside the picture."""

from modules.plugins import Host, UserError

from .blends import Blends
from .places import blends_folder
from .rows import Row
from .shelf import Shelf
from .tags import tags


def forgive(prompt: str, host: Host) -> tuple[str, list[UserError]]:
    """The prompt without the tags of files and blends that are not here, and what each lacks."""
    found = tags(prompt)
    if not found:
        return prompt, []
    shelf, blends = Shelf.of(host), Blends(blends_folder(host))
    pieces: list[str] = []
    told: list[UserError] = []
    at = 0
    for tag in found:
        lack = _lack(tag.row, shelf, blends)
        if lack is not None:
            pieces.append(prompt[at : tag.start])
            at = tag.end
            told.append(lack)
    return "".join([*pieces, prompt[at:]]), told


def _lack(row: Row, shelf: Shelf, blends: Blends) -> UserError | None:
    try:
        if row.kind == "blend":
            blends.get(row.name)
        else:
            shelf.find(row)
    except UserError as error:
        return error
    return None
