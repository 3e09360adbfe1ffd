"""Presets from and to other programs: A1111's `styles.csv` (columns name, prompt, negative_prompt), and JSON lists."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modules.plugins import UserError, problem

from .presets import Preset, preset_of

MAX_TEXT = 5_000_000
_COLUMNS = ("name", "prompt", "negative_prompt")
_NEGATIVE = ("negative", "negative_prompt")


def read(text: str) -> tuple[Preset, ...]:
    """The presets in a file, whichever of the two it is.

    Raises:
        UserError: it is neither, or says which row is wrong and why.
    """
    if len(text) > MAX_TEXT:
        raise problem(
            f"The file is larger than {MAX_TEXT // 1_000_000} MB.",
            f"文件超过 {MAX_TEXT // 1_000_000} MB。",
        )
    text = text.lstrip("\ufeff")
    rows = list(_json(text) if text.lstrip()[:1] in ("[", "{") else _csv(text))
    found: dict[str, Preset] = {}
    for where, row in rows:
        try:
            preset = preset_of(row)
        except UserError as error:
            english, chinese = error.message("en"), error.message("zh")
            raise problem(f"{where}: {english}", f"{where}：{chinese}") from error
        found[preset.name.casefold()] = preset
    if not found:
        raise problem("There is no preset in the file.", "文件中没有预设。")
    return tuple(found.values())


def to_csv(presets: Sequence[Preset]) -> str:
    """A1111's `styles.csv`; groups, pictures and parameters have no place in it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((each.name, each.prompt, each.negative) for each in presets)
    return out.getvalue()


def to_json(presets: Sequence[Preset]) -> str:
    """Everything, as a list of objects."""
    rows = [each.model_dump(mode="json", exclude_defaults=True) for each in presets]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _csv(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    csv.field_size_limit(MAX_TEXT)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [name.strip().casefold() for name in reader.fieldnames or ()]
        if "name" not in columns or "prompt" not in columns:
            raise problem(
                "This is no styles.csv: its first line has to name the columns name, prompt and negative_prompt.",
                "这不是 styles.csv：首行应包含 name、prompt、negative_prompt 列名。",
            )
        for row in reader:
            cells = {
                key.strip().casefold(): value or ""
                for key, value in row.items()
                if isinstance(key, str) and not isinstance(value, list)
            }
            name = cells.get("name", "").strip()
            # A1111 writes "None" for no style at all; other programs use such rows as headings.
            if not name or name.casefold() == "none" or not (cells["prompt"] or _negative(cells)):
                continue
            yield (
                f"line {reader.line_num}",
                {
                    "name": name.replace(",", " "),
                    "prompt": cells["prompt"],
                    "negative": _negative(cells),
                },
            )
    except csv.Error as error:
        raise problem(
            f"Line {reader.line_num} of the file is no CSV ({error}).",
            f"文件第 {reader.line_num} 行不是有效的 CSV（{error}）。",
        ) from error


def _json(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise problem(
            f"The file is no JSON ({error}).", f"文件不是有效的 JSON（{error}）。"
        ) from error
    if isinstance(data, Mapping) and isinstance(data.get("styles"), list):
        data = data["styles"]
    if isinstance(data, Mapping):  # {"name": {"prompt": …}}
        data = [
            {"name": name, **row} if isinstance(row, Mapping) else row for name, row in data.items()
        ]
    for number, row in enumerate(data, 1):
        where = f"preset {number}"
        if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
            raise problem(
                f"{where}: it has no name. A list of objects with name, prompt and negative is wanted.",
                f"{where}：没有名称。需要由含 name、prompt、negative 的对象组成的列表。",
            )
        known = {key: row[key] for key in Preset.model_fields if key in row}
        negative = _negative(row)
        name = row["name"].replace(",", " ")
        yield where, {**known, "name": name, **({"negative": negative} if negative else {})}


def _negative(row: Mapping[str, Any]) -> Any:
    return next((row[key] for key in _NEGATIVE if row.get(key)), "")
