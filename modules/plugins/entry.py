"""`"file:name"`: something in an extension's own files, named in data and imported when it is used."""

import re

ENTRY = re.compile(r"[A-Za-z_]\w*:[A-Za-z_]\w*")


def split_entry(entry: str) -> tuple[str, str]:
    """`"panel:build"` -> `("panel", "build")`.

    Raises:
        ValueError: it is not written so.
    """
    if not ENTRY.fullmatch(entry):
        raise ValueError(f"{entry!r}: write it as 'file:name', for example 'panel:build'")
    file, _, name = entry.partition(":")
    return file, name
