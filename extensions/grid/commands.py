"""`noisette grid PROMPT --x steps=4,8 --y "cfg_scale=2-6 (+2)" --output FOLDER`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from modules.plugins import Command, GenerationRequest, Host, Queue, problem

from .options import AXES, GridOptions

GRID = Command(
    "grid",
    "Make a grid: many pictures of one job, and a labelled sheet",
    "生成网格：一个任务的多张图与带标注的拼图",
    usage=(
        "[PROMPT] [--x NAME=VALUES] [--y NAME=VALUES] [--z NAME=VALUES] [--matrix] [--prompts FILE] [--seeds same|next] "
        "[--no-sheet] [--set FIELD=VALUE …] [--output FOLDER]"
    ),
    run="commands:grid",
    top=True,
)


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _usage(message, message)  # argparse speaks English alone


def grid(words: Sequence[str], host: Host, queue: Queue) -> str:
    """Make a grid and wait; the files of its cells, then those of its sheets, a line each.

    Raises:
        UserError: what is wrong with the words, the grid or a cell.
    """
    given = _parser().parse_args(list(words))
    if given.output is not None:
        queue.check_target(_folder(given.output))
    values: dict[str, Any] = {"prompt": given.prompt}
    for assignment in given.set:
        _assign(values, assignment)
    try:
        options = GridOptions.model_validate({"enabled": True, **_options(given)})
        extras = {**values.pop("extras", {}), host.name: options.model_dump(mode="json")}
        request = GenerationRequest.model_validate({**values, "extras": extras})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        found = str(first["input"])[:80]
        raise problem(
            f"{field} cannot be {found!r}. Choose another value.",
            f"{field} 不能是 {found!r}。请换一个值。",
        ) from error
    files = queue.run(request)
    if given.output is not None:
        files = [queue.save(file, _folder(given.output), file.stem) for file in files]
    return "\n".join(str(file) for file in files)


def _parser() -> argparse.ArgumentParser:
    parser = _Words("noisette grid", add_help=False, allow_abbrev=False)
    parser.add_argument("prompt", nargs="?", default="")
    for letter in AXES:
        parser.add_argument(f"--{letter}")
    parser.add_argument("--matrix", action="store_true")
    parser.add_argument("--prompts", type=Path)
    parser.add_argument("--seeds", choices=("same", "next"), default="same")
    parser.add_argument("--no-sheet", action="store_false", dest="sheet")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--output")
    return parser


def _options(given: argparse.Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {"seeds": given.seeds, "sheet": given.sheet}
    for letter in AXES:
        said = getattr(given, letter)
        if said is None:
            continue
        name, equals, text = said.partition("=")
        if not equals:
            raise _usage(
                f"--{letter} {said}: write it as steps=4,8", f"--{letter} {said}：请写成 steps=4,8"
            )
        values |= {letter: name.strip(), f"{letter}_values": text}
    if given.prompts is not None:
        try:
            text = given.prompts.expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeError) as error:
            raise problem(
                f"{given.prompts} cannot be read as text: {error}",
                f"无法按文本读取 {given.prompts}：{error}",
            ) from error
        return {**values, "mode": "prompts", "prompts": text}
    return {**values, "mode": "matrix"} if given.matrix else values


def _assign(values: dict[str, Any], assignment: str) -> None:
    """`steps=20`, `hires.scale=2`, or an extension's option, `frame.width=6`, which turns it on."""
    name, equals, text = assignment.partition("=")
    first, *inner = name.strip().split(".")
    if not equals or not first or len(inner) > 1:
        raise _usage(
            f"--set {assignment}: write it as steps=20 or hires.scale=2",
            f"--set {assignment}：请写成 steps=20 或 hires.scale=2",
        )
    try:
        value = json.loads(text)
    except ValueError:
        value = text  # a word
    if not inner:
        values[first] = value
    elif first in GenerationRequest.model_fields:
        values.setdefault(first, {})[inner[0]] = value
    else:
        options = values.setdefault("extras", {}).setdefault(first, {"enabled": True})
        options[inner[0]] = value


def _folder(target: str) -> str:
    return target if target.endswith("/") or Path(target).is_dir() else f"{target}/"


def _usage(en: str, zh: str) -> Exception:
    return problem(
        f"{en}. It goes: noisette grid {GRID.usage}", f"{zh}。用法：noisette grid {GRID.usage}"
    )
