"""What the mixer on the page asks of Python: each function takes and gives plain JSON, and keeps nothing.

Anyone who reaches the page can call these with anything, so each checks what it gets; none gives away a path.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from pydantic import TypeAdapter, ValidationError

from modules.plugins import UserError, for_guests, problem

from .blends import Blend, Blends, picture_data, read_blend, what_is_wrong
from .card import misfit, partly
from .rows import MAX_ROWS, Row
from .shelf import File, Shelf
from .tags import reconcile, to_prompt, to_rows, unread, with_words

PAGE = 24
MOST_TEXT = 40_000
Answer = dict[str, Any]
Call = Callable[[Any], Answer]

_ROWS: TypeAdapter[list[Row]] = TypeAdapter(list[Row])


def functions(shelf: Shelf, blends: Blends) -> list[Call]:
    """The functions by which the mixer works, to be handed to its component."""

    @for_guests
    def lora_search(data: Any) -> Answer:
        """{words, page} → one page of the files that fit, and how many there are."""
        found = shelf.search(_text(data, "words")[:200])
        page = _get(data, "page")
        first = max(0, page if isinstance(page, int) else 0) * PAGE
        shown = [_shown(shelf, file) for file in found[first : first + PAGE]]
        return {"total": len(found), "page": PAGE, "items": shown}

    @for_guests
    def lora_cards(data: Any) -> Answer:
        """{rows, family, model} → what each row's file or blend says of itself, by kind and name."""
        chosen = _text(data, "family"), _text(data, "model")
        cards = {
            f"{row.kind}:{row.name}": _card(shelf, blends, row, *chosen) for row in _rows(data)
        }
        return {"cards": cards}

    @for_guests
    def lora_to_rows(data: Any) -> Answer:
        """{prompt, rows} → the rows after the prompt was edited."""
        prompt = _text(data, "prompt")
        return {"rows": _plain(to_rows(prompt, _rows(data))), "unread": list(unread(prompt))}

    @for_guests
    def lora_to_prompt(data: Any) -> Answer:
        """{prompt, rows} → the prompt after the rows were edited."""
        prompt = to_prompt(_text(data, "prompt"), _rows(data))
        return {"prompt": prompt, "unread": list(unread(prompt))}

    @for_guests
    def lora_both(data: Any) -> Answer:
        """{prompt, rows} → both made alike, after a picture or a draft has filled them."""
        prompt, rows = _text(data, "prompt"), _rows(data)
        acting = reconcile(prompt, rows)
        prompt = to_prompt(prompt, acting)
        return {
            "prompt": prompt,
            "rows": _plain(to_rows(prompt, [*acting, *(r for r in rows if not r.on)])),
        }

    @for_guests
    def lora_words(data: Any) -> Answer:
        """{prompt, words, wanted} → the prompt with trigger words put in or taken out."""
        words = [str(word)[:200] for word in _list(data, "words")[:64]]
        return {"prompt": with_words(_text(data, "prompt"), words, bool(_get(data, "wanted")))}

    @for_guests
    def lora_blends(data: Any) -> Answer:
        """→ the saved blends."""
        return {"names": list(blends.names())}

    @for_guests
    def lora_blend(data: Any) -> Answer:
        """{name} → a saved blend, whole."""
        return {"blend": blends.get(_text(data, "name")).model_dump(mode="json")}

    @for_guests
    def lora_read_blend(data: Any) -> Answer:
        """{text} → a blend that somebody sent."""
        text = _get(data, "text")
        return {"blend": read_blend(text if isinstance(text, str) else "").model_dump(mode="json")}

    def lora_save_blend(data: Any) -> Answer:
        """{name, note, rows, picture, over} → the names that there are then."""
        rows = [
            row.model_copy(update={"hash": _hash(shelf, row)}) for row in blends.expand(_rows(data))
        ]
        fields = {key: _text(data, key, 700_000) for key in ("name", "note", "picture")}
        try:
            blend = Blend.model_validate({**fields, "rows": rows})
        except ValidationError as error:
            en, zh = what_is_wrong(error)
            raise problem(f"The blend was not saved: {en}.", f"混合方案未保存：{zh}。") from error
        blends.save(blend, over=_get(data, "over") is True)
        return {"names": list(blends.names()), "blend": blend.model_dump(mode="json")}

    made: list[Call] = [
        lora_search, lora_cards, lora_to_rows, lora_to_prompt, lora_both, lora_words,
        lora_blends, lora_blend, lora_read_blend, lora_save_blend,
    ]  # fmt: skip
    return [_answering(function) for function in made]


def _answering(function: Call) -> Call:
    """An error for the user is an answer, in both languages; it is the mixer that shows it."""

    @wraps(function)
    def call(data: Any) -> Answer:
        try:
            return function(data)
        except UserError as error:
            return {"error": {"en": error.message("en"), "zh": error.message("zh")}}
        except (ValidationError, ValueError) as error:
            why = str(error).splitlines()[0][:200]
            return {
                "error": {
                    "en": f"The mixer sent what is none ({why}).",
                    "zh": f"数据无效（{why}）。",
                }
            }

    return call


def _shown(shelf: Shelf, file: File) -> Answer:
    try:
        card = shelf.card(file)
    except UserError as error:
        told = {"en": error.message("en"), "zh": error.message("zh")}
        return {"name": file.name, "title": file.name, "error": told, "thumb": ""}
    return {
        "name": file.name,
        "title": card.title,
        "base": card.base,
        "family": card.family,
        "weight": card.weight,
        "thumb": picture_data(shelf.thumb(file)),
    }


def _card(shelf: Shelf, blends: Blends, row: Row, family: str, model: str) -> Answer:
    try:
        if row.kind == "blend":
            blend = blends.get(row.name)
            names = ", ".join(f"{each.name} {each.weight:g}" for each in blend.rows if each.on)
            return {"title": blend.name, "note": blend.note, "holds": names, "thumb": blend.picture}
        file = shelf.find(row)
        card = shelf.card(file)
    except UserError as error:
        return {
            "title": row.name,
            "thumb": "",
            "error": {"en": error.message("en"), "zh": error.message("zh")},
        }
    warning = misfit(card, family) if family else None
    fraction = shelf.fraction(card, model) if warning is None and model else None
    if fraction is not None and fraction < 1:
        warning = partly(card, model, fraction)
    return {
        **card.plain(),
        "thumb": picture_data(shelf.thumb(file)),
        "warning": {"en": warning[0], "zh": warning[1]} if warning else None,
    }


def _hash(shelf: Shelf, row: Row) -> str:
    try:
        return shelf.hash(shelf.find(row))
    except UserError:
        return row.hash  # it is not here now: what the row knew stays


def _plain(rows: Sequence[Row]) -> list[Answer]:
    return [row.model_dump(mode="json") for row in rows]


def _rows(data: Any) -> list[Row]:
    return _ROWS.validate_python(_list(data, "rows")[: MAX_ROWS + 1])


def _get(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, Mapping) else None


def _list(data: Any, key: str) -> list[Any]:
    found = _get(data, key)
    return found if isinstance(found, list) else []


def _text(data: Any, key: str, most: int = MOST_TEXT) -> str:
    found = _get(data, key)
    return found[:most] if isinstance(found, str) else ""
