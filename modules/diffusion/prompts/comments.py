r"""Notes in a prompt: from `#` to the end of its line nothing is read. `\#` is the sign itself."""

import re

_SIGNS = re.compile(r"\\(?P<escaped>.)|#[^\n]*+", re.DOTALL)


def strip(text: str) -> str:
    r"""The text without its comments; line ends stay, and `\#` becomes `#` (so this is done once)."""

    def kept(match: re.Match[str]) -> str:
        if match["escaped"] is None:
            return ""
        return "#" if match["escaped"] == "#" else match.group()

    return _SIGNS.sub(kept, text)


def ends_open(text: str) -> bool:
    """The last line ends in a comment, so that what is put after it would be lost."""
    last = None
    for match in _SIGNS.finditer(text):
        last = match
    return last is not None and last["escaped"] is None and last.end() == len(text)
