"""Tags in the prompt and rows of the mixer are the same thing shown twice. Pure functions between the two.

    <lora:ink>                          weight 1
    <lora:ink:0.8>                      both weights
    <lora:ink:0.5:0.8>                  text encoder, U-Net (in A1111's order)
    <lora:ink:te=0.5:unet=0.8>          the same, by name
    <lora:ink:0.8:in=0:out1=0.5>        block weights (see `blocks`)
    <lora:ink:0.8:start=0.5:end=1>      a window of the steps
    <lora:ink:0.8:curve=0@0;1@0.5>      factor@share of the steps
    <lyco:…>                            as <lora:…>
    <blend:name:0.8>                    a saved blend

Rows that are off have no tag. Named arguments of other programs ("dyn=…", "lbw=…") change nothing and are told by
`unread`, as is a tag whose values no row can have (a weight of 50): it stays in the prompt as it is and is no row.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from .blocks import NAME
from .rows import MAX_ROWS, Row

# A tag, or what hides one: a sign after a backslash, a comment to the end of its line.
_SIGNS = re.compile(
    r"\\.|(?P<comment>#[^\n]*+)|<(?P<kind>lora|lyco|blend):(?P<body>[^<>]+)>",
    re.IGNORECASE | re.DOTALL,
)
TAGS = ("lora", "lyco", "blend")
"""The kinds of tags that are read."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_NOT_IN_NAMES = re.compile(r"[:<>]")


Key = tuple[str, str, int]
"""Kind, name, and which of that name it is."""


@dataclass(frozen=True)
class Tag:
    """A tag where it stands in a prompt."""

    start: int
    end: int
    row: Row


def tags(prompt: str) -> list[Tag]:
    """The tags of a prompt, in order; at most as many as the mixer has rows."""
    found = []
    for match in _matches(prompt):
        row = _row(match["kind"].lower(), match["body"])
        if row is not None:
            found.append(Tag(match.start(), match.end(), row))
        if len(found) == MAX_ROWS:
            break
    return found


def rows_of(prompt: str) -> tuple[Row, ...]:
    """A prompt's tags as rows."""
    return tuple(tag.row for tag in tags(prompt))


def unread(prompt: str) -> tuple[str, ...]:
    """Tags that are no row, and arguments that no row has, as they stand in the prompt."""
    return tuple(text for _, text in _left(prompt))


def unused(prompt: str) -> tuple[tuple[str, str], ...]:
    """Arguments that no row has, each with its tag, which is a row without it."""
    return tuple((tag, text) for tag, text in _left(prompt) if tag != text)


def without_tags(prompt: str) -> str:
    """The prompt as the text encoder reads it; spaces around a tag stay, as in A1111."""
    pieces, at = [], 0
    for tag in tags(prompt):
        pieces.append(prompt[at : tag.start])
        at = tag.end
    return "".join([*pieces, prompt[at:]])


def tag_text(row: Row) -> str:
    """The tag of a row, as short as it can be said."""
    parts = [row.kind, tag_name(row.name)]
    if row.te is None or row.te == row.weight:
        if row.weight != 1 or _rest(row):
            parts.append(_number(row.weight))
    else:
        parts += [f"te={_number(row.te)}", f"unet={_number(row.weight)}"]
    return f"<{':'.join(parts + _rest(row))}>"


def tag_name(name: str) -> str:
    """A file's name as tags can hold it."""
    return _NOT_IN_NAMES.sub("", name)


def to_rows(prompt: str, rows: Sequence[Row] = ()) -> tuple[Row, ...]:
    """The mixer's rows after somebody edited the prompt.

    A row whose tag is gone goes; a new tag becomes a row; what a tag does not say (trigger words, pictures, hash)
    stays. Rows that are off stay where they are, after the row that they followed.
    """
    known = dict(_numbered([row for row in rows if row.on]))
    told = dict(_numbered(rows_of(prompt)))
    # Each row that is off, by the row above it that is still there; None is the top.
    off: dict[Key | None, list[Row]] = {}
    above: Key | None = None
    keys = iter(known)
    for row in rows:
        if not row.on:
            off.setdefault(above, []).append(row)
        elif (key := next(keys)) in told:
            above = key
    merged = off.get(None, [])
    for key, row in told.items():
        merged.append(_same_but(known[key], row) if key in known else row)
        merged += off.get(key, ())
    return tuple(merged[:MAX_ROWS])


def to_prompt(prompt: str, rows: Sequence[Row]) -> str:
    """The prompt after somebody edited the mixer's rows.

    Tags keep their places and, where nothing changed, their letters; those of rows that are gone or off are taken
    out, those of new rows come at the end. Read from left to right the tags have the order of the rows.
    """
    wanted = [row for row in rows if row.on]
    there = tags(prompt)
    keys = {key for key, _ in _numbered(wanted)}
    kept = [
        tag
        for tag, (key, _) in zip(there, _numbered([t.row for t in there]), strict=True)
        if key in keys
    ]
    pieces: list[str] = []
    at = 0
    places = iter(wanted)
    for tag in there:
        text = prompt[at : tag.start]
        at = tag.end
        if tag not in kept:
            # One of the two spaces beside it goes with it.
            if text.endswith(" ") and (at == len(prompt) or prompt[at] in " ,"):
                text = text[:-1]
            elif at < len(prompt) and prompt[at] == " " and not "".join(pieces) + text:
                at += 1
            pieces.append(text)
            continue
        row = next(places)
        same = _as_tag(row) == tag.row
        pieces += [text, prompt[tag.start : tag.end] if same else tag_text(row)]
    done = "".join([*pieces, prompt[at:]])
    for row in places:
        if _ends_in_comment(done):
            done += "\n"
        done += (" " if done and not done.endswith((" ", "\n")) else "") + tag_text(row)
    return done


def reconcile(prompt: str, rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows that act in a generation: those of the prompt's tags, then those that only the options name.

    A page keeps both alike; a client of the API may send either. Where a tag and a row of the same name differ, the
    prompt holds, since that is what people read.
    """
    left = dict(_numbered([row for row in rows if row.on]))
    acting = []
    for key, row in _numbered(rows_of(prompt)):
        known = left.pop(key, None)
        acting.append(row if known is None else _same_but(known, row))
    return (*acting, *left.values())


def with_words(prompt: str, words: Sequence[str], wanted: bool) -> str:
    """The prompt with trigger words put in before its tags, or taken out; words that are there already stay."""
    if wanted:
        missing = [word for word in words if not _word(word).search(prompt)]
        if not missing:
            return prompt
        first = min((tag.start for tag in tags(prompt)), default=len(prompt))
        head, tail = prompt[:first].rstrip(" ,"), prompt[first:]
        text = ", ".join(([head] if head else []) + missing)
        return f"{text} {tail}" if tail else text
    for word in words:
        prompt = _word(word).sub("", prompt, count=1)
    return prompt.lstrip(" ,")


def _left(prompt: str) -> Iterator[tuple[str, str]]:
    """What is not understood, after the tag that it belongs to."""
    for match in _matches(prompt):
        if _row(match["kind"].lower(), match["body"]) is None:
            yield match[0], match[0]
        else:
            arguments = match["body"].split(":")[1:]
            yield from ((match[0], part.strip()) for part in arguments if not _known(part))


def _matches(prompt: str) -> Iterator[re.Match[str]]:
    return (match for match in _SIGNS.finditer(prompt) if match["kind"])


def _ends_in_comment(prompt: str) -> bool:
    last = None
    for match in _SIGNS.finditer(prompt):
        last = match
    return last is not None and last["comment"] is not None and last.end() == len(prompt)


def _word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?:,\s*)?(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def _row(kind: str, body: str) -> Row | None:
    name, *arguments = (part.strip() for part in body.split(":"))
    fields: dict[str, object] = {"name": name, "kind": "blend" if kind == "blend" else "lora"}
    numbers: list[float] = []
    blocks: dict[str, float] = {}
    for argument in arguments:
        key, equals, value = (part.strip() for part in argument.partition("="))
        if not equals:
            if _NUMBER.fullmatch(key):
                numbers.append(float(key))
        elif key == "curve":
            fields["curve"] = _curve(value)
        elif _NUMBER.fullmatch(value):
            if key in ("te", "start", "end"):
                fields[key] = float(value)
            elif key == "unet":
                fields["weight"] = float(value)
            elif NAME.fullmatch(key):
                blocks[key] = float(value)
    if len(numbers) > 1:
        fields = {"te": numbers[0], "weight": numbers[1], **fields}
    elif numbers:
        fields = {"weight": numbers[0], **fields}
    if "te" in fields and "weight" not in fields:
        fields["weight"] = 1.0
    if fields.get("te") == fields.get("weight", 1.0):
        fields.pop("te", None)
    try:
        return Row.model_validate({**fields, "blocks": blocks})
    except ValidationError:
        return None


def _known(argument: str) -> bool:
    key, equals, value = (part.strip() for part in argument.partition("="))
    if not equals:
        return bool(_NUMBER.fullmatch(key))
    if key == "curve":
        return len(_curve(value)) == value.count(";") + 1
    return bool(_NUMBER.fullmatch(value)) and bool(
        key in ("te", "unet", "start", "end") or NAME.fullmatch(key)
    )


def _curve(text: str) -> tuple[tuple[float, float], ...]:
    points = []
    for part in text.split(";"):
        height, _, share = part.partition("@")
        if _NUMBER.fullmatch(height.strip()) and _NUMBER.fullmatch(share.strip()):
            points.append((float(share), float(height)))
    return tuple(points)


def _rest(row: Row) -> list[str]:
    parts = [f"{block}={_number(weight)}" for block, weight in row.blocks.items()]
    if row.start > 0:
        parts.append(f"start={_number(row.start)}")
    if row.end < 1:
        parts.append(f"end={_number(row.end)}")
    if row.curve:
        points = ";".join(f"{_number(height)}@{_number(share)}" for share, height in row.curve)
        parts.append(f"curve={points}")
    return parts


def _number(value: float) -> str:
    # Plain decimals: the grammar knows no exponents.
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _numbered(rows: Sequence[Row]) -> Iterator[tuple[Key, Row]]:
    """Rows by kind, name and how many of that name came before."""
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.kind, tag_name(row.name).casefold())
        seen[key] = seen.get(key, 0) + 1
        yield (*key, seen[key]), row


def _as_tag(row: Row) -> Row:
    """A row without what tags do not say."""
    te = None if row.te == row.weight else row.te
    return Row(
        name=tag_name(row.name) or "-",
        kind=row.kind,
        weight=row.weight,
        te=te,
        blocks=row.blocks,
        start=row.start,
        end=row.end,
        curve=row.curve,
    )


def _same_but(known: Row, told: Row) -> Row:
    """`told` with what only `known` can say; equal to `known` where the tag says the same."""
    if _as_tag(known) == told:
        return known
    return told.model_copy(
        update={
            "name": known.name,
            "triggers": known.triggers,
            "pictures": known.pictures,
            "hash": known.hash,
        }
    )
