"""The receipt before the run: what a LoRA file says of itself, from its header alone."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .architecture import FAMILY_TITLES, Shape
from .dialects import Modules, Reading, identify, parts_of, prompt_width, rank_text, read
from .files import Header, json_object

MOST_WORDS = 24
MOST_NOTE = 2000

_BASES = (
    (re.compile(r"sdxl|xl.?base|stable-diffusion-xl|\bxl\b", re.IGNORECASE), "sdxl"),
    (re.compile(r"sd_?v?2|stable-diffusion-v?2", re.IGNORECASE), "sd2"),
    (re.compile(r"sd_?v?1|stable-diffusion-v?1|pocket", re.IGNORECASE), "sd1"),
)
_OTHERS = (
    (re.compile(r"double_blocks|single_transformer_blocks|single_blocks"), "FLUX"),
    (re.compile(r"joint_blocks"), "Stable Diffusion 3"),
    (re.compile(r"blocks_\d+_cross_attn|blocks\.\d+\.cross_attn"), "Wan"),
)


@dataclass(frozen=True)
class Card:
    """Everything that can be told without the weights and without the model."""

    name: str
    title: str
    family: str | None
    """sd1, sd2, sdxl, or None where it is none of these."""
    base: str
    """What it was made for, in words: the family's title, or what the metadata says."""
    kinds: tuple[str, ...]
    rank: str
    """ "16", "4–64", or nothing."""
    parts: tuple[str, ...]
    keys: int
    fraction: float
    """Share of the keys that are recognised for the family, 0 to 1."""
    unknown: tuple[str, ...]
    """The first few keys that are not."""
    words: tuple[str, ...]
    """Trigger words as its author names them."""
    tags: tuple[tuple[str, int], ...]
    """The captions' most frequent tags in its training, with their counts."""
    alias: str
    weight: float | None
    """What its author recommends."""
    note: str
    size: int
    width: int | None
    """Of the prompt's vectors that it was made for."""
    shapes: Mapping[str, Shape] = field(default_factory=dict, repr=False)

    def reading(self, model: Modules) -> Reading:
        """The file held against a certain model."""
        return read(self.shapes, model)

    def plain(self) -> dict[str, object]:
        """As JSON, for the page."""
        return {
            "name": self.name,
            "title": self.title,
            "family": self.family,
            "base": self.base,
            "kinds": list(self.kinds),
            "rank": self.rank,
            "parts": list(self.parts),
            "keys": self.keys,
            "fraction": round(self.fraction, 4),
            "unknown": list(self.unknown),
            "words": list(self.words),
            "tags": [[tag, count] for tag, count in self.tags],
            "weight": self.weight,
            "note": self.note,
            "size": self.size,
        }


def describe(name: str, path: Path, header: Header, models: Mapping[str, Modules]) -> Card:
    """The card of a file, with what lies beside it: `<stem>.json` (A1111's user metadata), `<stem>.txt`.

    `models` are the families that it is held against, "sd1", and single models of other widths, "sd1:pocket".
    """
    found, readings = identify(header.shapes, models)
    family, _, model = (found or "").partition(":")
    noted = _noted_family(header.metadata)
    known = found or (noted if noted in readings else None)
    own = family or known
    reading = (
        readings[known]
        if known
        else Reading(unknown=tuple(header.shapes), total=len(header.shapes))
    )
    beside = _beside(path)
    width = prompt_width(header.shapes)
    custom = found is None and noted is not None
    if custom and own:
        # Made for a model of that family with other widths, as the pocket model is: names tell, shapes do not.
        reading = Reading(reading.targets, reading.unknown, (), reading.total, reading.ranks)
    return Card(
        name=name,
        title=header.metadata.get("modelspec.title") or path.stem,
        family=own,
        base=_base(own, model, custom, width, header),
        kinds=reading.kinds or _kinds_by_name(header),
        rank=rank_text(reading.ranks) or _rank_by_header(header),
        parts=parts_of(reading.targets),
        keys=len(header.shapes),
        fraction=reading.fraction,
        unknown=reading.unknown[:8],
        words=_words(header.metadata, beside),
        tags=_tags(header.metadata),
        alias=header.metadata.get("ss_output_name", ""),
        weight=_weight(beside),
        note=_note(path, header.metadata, beside),
        size=path.stat().st_size,
        width=width,
        shapes=header.shapes,
    )


def misfit(card: Card, family: str, width: int | None = None) -> tuple[str, str] | None:
    """A warning in English and Chinese where a file was made for another kind of model than the one chosen."""
    title = FAMILY_TITLES.get(family, family)
    if card.family is None:
        return (
            f"“{card.title}” fits none of the families that are known here ({card.base}). It will not run.",
            f"“{card.title}”不属于此处已知的任何模型系列（{card.base}），无法运行。",
        )
    if card.family != family:
        return (
            f"“{card.title}” was made for {card.base}; the model chosen is {title}. It will not run.",
            f"“{card.title}”是为 {card.base} 制作的，而所选模型是 {title}，无法运行。",
        )
    if width and card.width and width != card.width:
        return (
            f"“{card.title}” was made for a model whose prompts are {card.width} numbers wide; this one's are {width}.",
            f"“{card.title}”所针对模型的提示词宽度为 {card.width}，而此模型为 {width}。",
        )
    return None


def partly(card: Card, model: str, fraction: float) -> tuple[str, str]:
    """A warning in English and Chinese where only a part of a file fits the model chosen."""
    percent = f"{100 * fraction:.0f} %"
    if fraction == 0:
        return (
            f"Nothing of “{card.title}” fits the model {model}. It will not run.",
            f"“{card.title}”与模型 {model} 完全不符，无法运行。",
        )
    return (
        f"Only {percent} of “{card.title}” fits the model {model}.",
        f"“{card.title}”仅有 {percent} 与模型 {model} 相符。",
    )


def _noted_family(metadata: Mapping[str, str]) -> str | None:
    for key in ("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name"):
        for pattern, family in _BASES:
            if pattern.search(metadata.get(key, "")):
                return family
    return None


def _base(family: str | None, model: str, custom: bool, width: int | None, header: Header) -> str:
    if family and model:
        return f"{FAMILY_TITLES.get(family, family)} ({model})"
    if family and not custom:
        return FAMILY_TITLES[family]
    said = header.metadata.get("modelspec.implementation_of") or header.metadata.get(
        "ss_sd_model_name", ""
    )
    if family:
        detail = said or (f"width {width}" if width else "")
        return f"{FAMILY_TITLES[family]} ({detail})" if detail else FAMILY_TITLES[family]
    for pattern, title in _OTHERS:
        if any(pattern.search(key) for key in header.shapes):
            return title
    return (
        header.metadata.get("modelspec.architecture")
        or header.metadata.get("ss_base_model_version")
        or "unknown"
    )


def _kinds_by_name(header: Header) -> tuple[str, ...]:
    names = " ".join(list(header.shapes)[:2000])
    marks = (("hada_", "loha"), ("lokr_", "lokr"), ("dora_scale", "dora"), ("magnitude", "dora"))
    found = [kind for mark, kind in marks if mark in names]
    return tuple(dict.fromkeys(found)) or (("lora",) if "lora" in names else ())


def _rank_by_header(header: Header) -> str:
    ranks = {
        shape[0]: 1
        for key, shape in header.shapes.items()
        if shape and re.search(r"lora_down\.weight$|lora_A(\.\w+)?\.weight$", key)
    }
    return rank_text(ranks)


def _words(metadata: Mapping[str, str], beside: Mapping[str, object]) -> tuple[str, ...]:
    texts = [str(beside.get("activation text") or ""), metadata.get("modelspec.trigger_phrase", "")]
    found = [word.strip() for text in texts for word in re.split(r"[,\n]", text)]
    return tuple(dict.fromkeys(word[:120] for word in found if word))[:MOST_WORDS]


def _tags(metadata: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for tags in json_object(metadata.get("ss_tag_frequency")).values():
        if isinstance(tags, dict):
            for tag, count in tags.items():
                if isinstance(count, int) and str(tag).strip():
                    counts[str(tag).strip()[:120]] += count
    return tuple(counts.most_common(MOST_WORDS))


def _weight(beside: Mapping[str, object]) -> float | None:
    weight = beside.get("preferred weight")
    return float(weight) if isinstance(weight, int | float) and 0 < abs(weight) <= 10 else None


def _note(path: Path, metadata: Mapping[str, str], beside: Mapping[str, object]) -> str:
    note = str(beside.get("notes") or beside.get("description") or "")
    if not note:
        try:
            note = path.with_suffix(".txt").read_text(encoding="utf-8", errors="replace")
        except OSError:
            note = metadata.get("modelspec.description", "")
    return note.strip()[:MOST_NOTE]


def _beside(path: Path) -> Mapping[str, object]:
    try:
        data = json.loads(path.with_suffix(".json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}  # none, or somebody else's file: the header still tells
    return data if isinstance(data, dict) else {}
