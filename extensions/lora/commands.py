"""`noisette extensions run lora merge to=PATH model=NAME [rank=N] TAGS`: a mix made permanent, from the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.plugins import Command, Host, problem

from .blends import Blends
from .places import blends_folder
from .shelf import Shelf
from .tags import reconcile, unread

if TYPE_CHECKING:
    from modules.plugins.adapters import Parts

    from .adapter import Strand

MERGE = Command(
    "merge",
    "One LoRA file, or a checkpoint, of a mix",
    "将混合方案合并为一个 LoRA 文件或模型",
    usage='to=mix.safetensors|to=FOLDER checkpoint=yes  model=NAME  [rank=16]  "<lora:ink:0.8> <lora:wash:0.5>"',
    run="commands:merge",
)
_KEYS = ("to", "model", "rank", "checkpoint")


def merge(words: Sequence[str], host: Host) -> str:
    """Write the file; the text says where and of what.

    Raises:
        UserError: a word that is none, a LoRA or model that is not here, a place that is taken.
    """
    given, tags = _read(words)
    from modules.plugins.adapters import open_model  # torch from here on

    from .merge import save_checkpoint, save_lora

    parts, source = open_model(host, given["model"])
    strands = _strands(tags, host, parts)
    target = Path(given["to"]).expanduser()
    names = ", ".join(f"{each.row.name} {each.row.weight:g}" for each in strands)
    if given.get("checkpoint") == "yes":
        save_checkpoint(source, target, strands, parts)
    else:
        if target.suffix != ".safetensors":
            target = target.with_name(target.name + ".safetensors")
        save_lora(target, strands, parts, rank=int(given.get("rank", "0")))
    return f"{target}: {names}"


def _read(words: Sequence[str]) -> tuple[dict[str, str], str]:
    given: dict[str, str] = {}
    tags = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in _KEYS:
            given[key] = value
        elif "<" in word:
            tags.append(word)
        else:
            raise problem(
                f"{word!r} is none of: {MERGE.usage}", f"无法识别 {word!r}。用法：{MERGE.usage}"
            )
    if not tags or not given.get("to") or not given.get("model"):
        raise problem(f"Write: merge {MERGE.usage}", f"用法：merge {MERGE.usage}")
    if not given.get("rank", "0").isdecimal() or given.get("checkpoint", "no") not in ("yes", "no"):
        raise problem(
            "rank is a whole number, checkpoint is yes or no.",
            "rank 须为整数，checkpoint 须为 yes 或 no。",
        )
    return given, " ".join(tags)


def _strands(tags: str, host: Host, parts: "Parts") -> "list[Strand]":
    from .adapter import Strand
    from .loaded import Loader

    wrong = unread(tags)
    if wrong:
        raise problem(
            f"This cannot be read: {', '.join(wrong)}.", f"无法识别：{'、'.join(wrong)}。"
        )
    shelf = Shelf.of(host)
    loader = Loader(shelf)
    rows = Blends(blends_folder(host)).expand(reconcile(tags, ()))
    return [Strand(row, loader.load(shelf.find(row), parts)) for row in rows]
