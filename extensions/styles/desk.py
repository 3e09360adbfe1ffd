"""What the page asks of Python: each function takes and gives plain JSON, and keeps nothing.

Anyone who reaches the page can call these with anything, so each checks what it gets; none gives away a path.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from modules.plugins import UserError, for_guests, problem

from .exchange import read, to_csv, to_json
from .presets import OWN, Preset, Presets, preset_of
from .weave import parse

PAGE = 36
Answer = dict[str, Any]
Call = Callable[[Any], Answer]


def functions(presets: Presets) -> list[Call]:
    """The functions by which chips and tab work, to be handed to their component."""

    @for_guests
    def styles_search(data: Any) -> Answer:
        """{words, group, page} → one page of the presets that fit, how many there are, and the groups."""
        words = _text(data, "words", 200).casefold().split()
        group = _text(data, "group", 40)
        everything = presets.all()
        found = [
            each
            for each in everything
            if (not group or each.group == group) and all(word in _searched(each) for word in words)
        ]
        page = _get(data, "page")
        first = max(0, page if isinstance(page, int) else 0) * PAGE
        own = {each.name for each in presets.own()}
        return {
            "total": len(found),
            "page": PAGE,
            "groups": list(dict.fromkeys(each.group for each in everything)),
            "broken": list(presets.problems()),
            "items": [_shown(presets, each, own) for each in found[first : first + PAGE]],
        }

    @for_guests
    def styles_named(data: Any) -> Answer:
        """{names} → the presets that the text of the option names, each with its amount; one that is not there is said."""
        own = {each.name for each in presets.own()}
        rows = []
        for chosen in parse(_text(data, "names", 4_000)):
            row: Answer = {"asked": chosen.name, "amount": chosen.amount}
            try:
                row |= _shown(presets, presets.get(chosen.name), own)
            except UserError as error:
                row |= {"name": chosen.name, "name_zh": "", "missing": _both(error)}
            rows.append(row)
        return {"rows": rows}

    @for_guests
    def styles_get(data: Any) -> Answer:
        """{name} → a preset, whole."""
        return {"preset": presets.get(_text(data, "name", 200)).model_dump(mode="json")}

    def styles_save(data: Any) -> Answer:
        """{preset, over} → saved as one's own."""
        given = _get(data, "preset")
        fields = dict(given) if isinstance(given, Mapping) else {}
        preset = preset_of({**fields, "group": str(fields.get("group") or OWN)})
        if not (preset.prompt.strip() or preset.negative.strip()):
            raise problem(
                "The preset has neither a prompt nor a negative prompt.",
                "预设既没有提示词，也没有反向提示词。",
            )
        presets.save(preset, over=_get(data, "over") is True)
        return {"name": preset.name}

    def styles_delete(data: Any) -> Answer:
        """{name} → one's own preset is gone."""
        presets.delete(_text(data, "name", 200))
        return {}

    def styles_import(data: Any) -> Answer:
        """{text, over} → presets of a file saved; those of a name that exists are left alone unless `over`."""
        over = _get(data, "over") is True
        given = _get(data, "text")
        found = read(given if isinstance(given, str) else "")
        taken = {each.name.casefold() for each in presets.own()}
        saved = [each for each in found if over or each.name.casefold() not in taken]
        for each in saved:
            presets.save(each, over=True)
        return {"saved": len(saved), "left": len(found) - len(saved)}

    def styles_export(data: Any) -> Answer:
        """{as} → one's own presets as the text of a file, "csv" or "json"."""
        own = presets.own()
        if not own:
            raise problem("You have no presets of your own yet.", "您还没有自己的预设。")
        return {"text": to_csv(own) if _get(data, "as") == "csv" else to_json(own)}

    made: list[Call] = [
        styles_search, styles_named, styles_get, styles_save, styles_delete, styles_import, styles_export,
    ]  # fmt: skip
    return [_answering(function) for function in made]


def _answering(function: Call) -> Call:
    """An error for the user is an answer, in both languages; it is the page that shows it."""

    @wraps(function)
    def call(data: Any) -> Answer:
        try:
            return function(data)
        except UserError as error:
            return {"error": _both(error)}

    return call


def _shown(presets: Presets, preset: Preset, own: set[str]) -> Answer:
    fields = {"name", "name_zh", "group", "prompt", "negative", "note", "parameters"}
    return {
        **preset.model_dump(mode="json", include=fields),
        "own": preset.name in own,
        "thumb": presets.preview(preset),
    }


def _searched(preset: Preset) -> str:
    return f"{preset.name} {preset.name_zh} {preset.group} {preset.prompt} {preset.note}".casefold()


def _both(error: UserError) -> dict[str, str]:
    return {"en": error.message("en"), "zh": error.message("zh")}


def _get(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, Mapping) else None


def _text(data: Any, key: str, most: int) -> str:
    found = _get(data, key)
    return found[:most] if isinstance(found, str) else ""
