"""The models of `models/interrogate/`: folders in transformers' format with their weights as safetensors."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modules.plugins import Host, problem

FOLDER = "interrogate"
WEIGHTS = "model.safetensors"
Kind = Literal["caption", "tags"]

_CAPTION = ("", "clip", "blip", "caption")
"""How clients ask for any captioner."""
_TAGS = ("deepdanbooru", "deepbooru", "tags", "wd14")
"""How clients ask for any tagger."""


@dataclass(frozen=True)
class Found:
    """One model."""

    name: str
    path: Path
    kind: Kind
    architecture: str


def models(host: Host) -> Iterator[Found]:
    """Those that can be used, by name; a folder of another kind is passed over."""
    for config in sorted((host.models / FOLDER).glob("*/config.json")):
        folder = config.parent
        try:
            data = json.loads(config.read_text(encoding="utf-8"))
            names = [str(name) for name in data["architectures"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for name in names[:1] if (folder / WEIGHTS).is_file() else ():
            if name == "BlipForConditionalGeneration":
                yield Found(folder.name, folder, "caption", name)
            elif name.endswith("ForImageClassification"):
                yield Found(folder.name, folder, "tags", name)


def find(host: Host, wanted: str) -> Found:
    """The model of that name; "clip" is the first captioner, "deepdanbooru" the first tagger, as clients ask for them.

    Raises:
        UserError: there is none; says what to do.
    """
    plain = wanted.strip().casefold()
    here = list(models(host))
    kind = "caption" if plain in _CAPTION else "tags" if plain in _TAGS else ""
    for each in here:
        if plain == each.name.casefold() or (kind and each.kind == kind):
            return each
    listed = ", ".join(each.name for each in here) or "–"
    said = wanted[:80] or "clip"
    raise problem(
        f"Model not found: there is none for {said!r} in models/{FOLDER} (there are: {listed}). Put a folder there "
        f"with config.json and {WEIGHTS}: BLIP for captions, an image classifier for tags.",
        f"没有模型：models/{FOLDER} 中没有用于 {said!r} 的模型（现有：{listed}）。请放入包含 config.json 与 {WEIGHTS} "
        "的文件夹：描述用 BLIP，标签用图片分类模型。",
    )
