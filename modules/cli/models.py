"""`noisette models` and `noisette convert`: weight files."""

import sys
from collections.abc import Sequence
from pathlib import Path
from unicodedata import east_asian_width

from modules.cli.run import FAILED, OK, Run

_COLUMNS = ("name", "kind", "family", "variant", "size", "path")


def models(run: Run) -> int:
    """List every weight file, and say what is wrong with others."""
    from modules.app import find_files

    with run.studio() as studio:
        found = studio.models(refresh=True)
    files, wrong = find_files(run.settings)
    problems = [*found.problems, *wrong]
    if run.options.json:
        run.print_json(
            {
                "models": [card.model_dump(mode="json") for card in found.cards],
                "files": [
                    {
                        "name": file.name,
                        "kind": file.identity.kind,
                        "family": file.identity.family,
                        "variant": file.identity.variant,
                        "layout": file.identity.layout,
                        "size_bytes": file.size_bytes,
                        "path": str(file.path),
                    }
                    for file in files
                ],
                "problems": [
                    {"path": str(each.path), "reason": each.error.message(run.language)}
                    for each in problems
                ],
            }
        )
        return OK
    rows = [
        (card.name, "checkpoint", card.family, card.variant, card.size_bytes, card.path)
        for card in found.cards
    ]
    for file in files:
        what = file.identity
        rows.append((file.name, what.kind, what.family, what.variant, file.size_bytes, file.path))
    _table(rows, [run.say(f"cli.models.{name}") for name in _COLUMNS])
    for each in problems:
        print(f"{each.path}: {each.error.message(run.language)}", file=sys.stderr)
    if not found.cards:
        print(run.say("cli.models.none", folder=run.settings.models_dir), file=sys.stderr)
        return FAILED
    return OK


def _table(rows: Sequence[tuple[str, str, str, str, int, Path]], titles: Sequence[str]) -> None:
    """Columns of even width below their titles; what is not known is a dash."""
    words = [
        [
            *(word or "-" for word in (name, kind, family, variant)),
            f"{size / 1e6:,.0f} MB",
            str(path),
        ]
        for name, kind, family, variant, size, path in rows
    ]
    table = [list(titles), *words]
    wide = [max(map(_width, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (word + " " * (most - _width(word)) for word, most in zip(row, wide, strict=True))
        print("  ".join(cells).rstrip())


def _width(word: str) -> int:
    """Columns on a terminal; Chinese characters take two."""
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in word)


def convert(run: Run) -> int:
    """Write a legacy file and its companions again as safetensors."""
    from modules.library.pickles import Converter
    from modules.library.single import companions

    converter = Converter(run.settings.converted_dir)
    for file in (run.options.file, *companions(run.options.file)):
        print(converter.get(file))
    return OK
