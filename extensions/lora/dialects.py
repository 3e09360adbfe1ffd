"""The dialects of LoRA files: from a file's keys and shapes to what changes which module. Pure, reads no tensor.

    kohya            lora_unet_down_blocks_0_..._to_q.lora_down.weight, .lora_up.weight, .lora_mid.weight, .alpha
    PEFT, diffusers  unet.down_blocks.0....to_q.lora_A.weight, .lora_B.weight, .lora_magnitude_vector
    older diffusers  unet....attn1.processor.to_q_lora.down.weight, text_encoder....lora_linear_layer.up.weight
    LyCORIS          ....hada_w1_a (LoHa), .lokr_w1 (LoKr), .dora_scale (DoRA), .diff (full), .w_norm (norms)

LoRA: Hu et al. 2021, arXiv 2106.09685. LoCon, LoHa, LoKr: Yeh et al. 2023, arXiv 2309.14859. DoRA: Liu et al. 2024,
arXiv 2402.09353.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .aliases import flat, index
from .architecture import TEXT, TEXT_2, UNET, Layout, Shape

MAX_KEYS = 100_000

_SLOTS = (
    (re.compile(r"[._]lora[._]down\.weight$|\.lora_linear_layer\.down\.weight$"), "down"),
    (re.compile(r"[._]lora[._]up\.weight$|\.lora_linear_layer\.up\.weight$"), "up"),
    (re.compile(r"\.lora_mid\.weight$"), "mid"),
    (re.compile(r"\.lora_A(\.[\w-]+)?\.weight$"), "down"),
    (re.compile(r"\.lora_B(\.[\w-]+)?\.weight$"), "up"),
    (re.compile(r"\.lora_magnitude_vector(\.[\w-]+)?(\.weight)?$"), "magnitude"),
    (re.compile(r"\.dora_scale$"), "dora"),
    (re.compile(r"\.alpha$"), "alpha"),
    (re.compile(r"\.hada_(w1_a|w1_b|w2_a|w2_b|t1|t2)$"), "hada_"),
    (re.compile(r"\.lokr_(w1|w1_a|w1_b|w2|w2_a|w2_b|t2)$"), "lokr_"),
    (re.compile(r"\.(diff|w_norm)$"), "diff"),
    (re.compile(r"\.(diff_b|b_norm)$"), "diff_b"),
)
_FLAT_PREFIXES = (
    ("lora_unet_", UNET),
    ("lycoris_unet_", UNET),
    ("lora_te1_", TEXT),
    ("lora_te2_", TEXT_2),
    ("lora_te_", TEXT),
    ("lycoris_te1_", TEXT),
    ("lycoris_te2_", TEXT_2),
    ("lycoris_te_", TEXT),
)
_DOTTED_PREFIXES = (
    ("model.diffusion_model.", UNET),
    ("diffusion_model.", UNET),
    ("base_model.model.", UNET),
    ("unet.base_model.model.", UNET),
    ("unet.", UNET),
    ("text_encoder_2.", TEXT_2),
    ("text_encoder.", TEXT),
    ("", UNET),
)
KINDS = ("lora", "loha", "lokr", "dora", "full", "norm")


@dataclass(frozen=True, eq=False)
class Modules:
    """A model's modules, with every name that a file may use for them."""

    layout: Layout
    names: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, layout: Layout) -> "Modules":
        """Work out the names once: a few milliseconds for a large model."""
        return cls(layout, {part: index(paths) for part, paths in layout.items()})


@dataclass(frozen=True)
class Target:
    """One file's change to one module: the keys of its tensors by slot ("down", "hada_w1_a", "alpha" …)."""

    part: str
    path: str
    kind: str
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Reading:
    """A file held against a model's layout."""

    targets: tuple[Target, ...] = ()
    unknown: tuple[str, ...] = ()
    """Keys that name no module of the model, or that no dialect explains."""
    misfits: tuple[str, ...] = ()
    """Keys of modules that are there with another shape."""
    total: int = 0
    ranks: Mapping[int, int] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """Share of the file's keys that can be applied, from 0 to 1."""
        return 1 - (len(self.unknown) + len(self.misfits)) / self.total if self.total else 0.0

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the file is made of, in the order of `KINDS`."""
        there = {target.kind for target in self.targets}
        return tuple(kind for kind in KINDS if kind in there)


def split(key: str) -> tuple[str, str] | None:
    """A key's module as the file writes it, and its slot; None where no dialect knows the key."""
    for pattern, slot in _SLOTS:
        found = pattern.search(key)
        if found:
            return key[: found.start()], slot + found[1] if slot.endswith("_") else slot
    return None


def place(stem: str) -> tuple[str, str]:
    """The part that a stem belongs to, and the module's name in it, flattened."""
    for prefix, part in _FLAT_PREFIXES:
        if stem.startswith(prefix):
            return part, flat(stem.removeprefix(prefix))
    for prefix, part in _DOTTED_PREFIXES:
        if stem.startswith(prefix):
            return part, flat(stem.removeprefix(prefix).removeprefix("base_model.model."))
    raise AssertionError("the empty prefix fits everything")


def read(shapes: Mapping[str, Shape], model: Modules) -> Reading:
    """What a file with tensors of these shapes changes in that model."""
    unknown: list[str] = []
    stems: dict[tuple[str, str], dict[str, str]] = {}
    for key in shapes:
        cut = split(key)
        if cut is None:
            unknown.append(key)
            continue
        stem, slot = cut
        part, name = place(stem)
        path = model.names.get(part, {}).get(name)
        known = stems.setdefault((part, path), {}) if path is not None else {slot: ""}
        if slot in known:  # no such module, or named a second time in another dialect
            unknown.append(key)
        else:
            known[slot] = key
    targets: list[Target] = []
    misfits: list[str] = []
    ranks: Counter[int] = Counter()
    for (part, path), keys in stems.items():
        slots = {slot: shapes[key] for slot, key in keys.items()}
        kind = kind_of(slots)
        if kind is None:
            unknown += keys.values()
        elif not fits(slots, model.layout[part][path]):
            misfits += keys.values()
        else:
            targets.append(Target(part, path, kind, keys))
            rank = rank_of(slots)
            if rank:
                ranks[rank] += 1
    return Reading(tuple(targets), tuple(unknown), tuple(misfits), len(shapes), dict(ranks))


def kind_of(slots: Mapping[str, Shape]) -> str | None:
    """One of `KINDS`, or None where tensors are missing."""
    change = _change_of(slots)
    if change is None:
        return None
    return "dora" if {"dora", "magnitude"} & slots.keys() else change


def _change_of(slots: Mapping[str, Shape]) -> str | None:
    if {"down", "up"} <= slots.keys():
        return "lora"
    if {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"} <= slots.keys():
        return "loha"
    if all(_whole_lokr(slots, half) for half in ("w1", "w2")):
        return "lokr"
    if "diff" in slots or "diff_b" in slots:
        return "norm" if len(slots.get("diff", slots.get("diff_b", ()))) == 1 else "full"
    return None


def _whole_lokr(slots: Mapping[str, Shape], half: str) -> bool:
    return f"lokr_{half}" in slots or {f"lokr_{half}_a", f"lokr_{half}_b"} <= slots.keys()


def rank_of(slots: Mapping[str, Shape]) -> int:
    """The rank that `alpha` is divided by; 0 where a change has none.

    With Tucker factors the rank comes first in both matrices, as it does in every right-hand one.
    """
    for slot in ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if slots.get(slot):
            return slots[slot][0]
    return 0


def fits(slots: Mapping[str, Shape], shape: Shape) -> bool:
    """Whether a change is as large as the weight that it changes, whatever way its tensors are laid out."""
    if slots.get("diff_b", shape[:1]) != shape[:1]:
        return False
    if slots.keys() == {"diff_b"}:
        return True
    try:
        out, numbers = _extent(slots)
    except (IndexError, ValueError):
        return False
    return out == shape[0] and numbers == math.prod(shape)


def _extent(slots: Mapping[str, Shape]) -> tuple[int, int]:
    """Rows of the change, and how many numbers it has."""
    if "down" in slots:
        down, up = slots["down"], slots["up"]
        kernel = math.prod(slots["mid"][2:]) if "mid" in slots else 1
        if up[1] != down[0] or (kernel > 1 and slots["mid"][:2] != (up[1], down[0])):
            raise ValueError("ranks differ")
        return up[0], up[0] * math.prod(down[1:]) * kernel
    if "hada_w1_a" in slots:
        return _product(slots, "hada_w1_a", "hada_w1_b", "hada_t1")
    if "lokr_w1" in slots or "lokr_w1_a" in slots:
        one = _half(slots, "w1", None)
        two = _half(slots, "w2", "lokr_t2")
        return one[0] * two[0], one[1] * two[1]
    return slots["diff"][0], math.prod(slots["diff"])


def _half(slots: Mapping[str, Shape], half: str, tucker: str | None) -> tuple[int, int]:
    whole = slots.get(f"lokr_{half}")
    if whole:
        return whole[0], math.prod(whole)
    return _product(slots, f"lokr_{half}_a", f"lokr_{half}_b", tucker)


def _product(
    slots: Mapping[str, Shape], left: str, right: str, tucker: str | None
) -> tuple[int, int]:
    a, b = slots[left], slots[right]
    if tucker is not None and tucker in slots:
        core = slots[tucker]
        if core[:2] != (a[0], b[0]):
            raise ValueError("ranks differ")
        return a[1], a[1] * b[1] * math.prod(core[2:])
    if a[1] != b[0]:
        raise ValueError("ranks differ")
    return a[0], a[0] * math.prod(b[1:])


def identify(
    shapes: Mapping[str, Shape], models: Mapping[str, Modules]
) -> tuple[str | None, Mapping[str, Reading]]:
    """The family whose modules take most of the file, if it takes more than half, and the reading for each."""
    readings = {family: read(shapes, model) for family, model in models.items()}
    best = max(readings, key=lambda family: readings[family].fraction, default=None)
    if best is None or readings[best].fraction <= 0.5:
        return None, readings
    return best, readings


def prompt_width(shapes: Mapping[str, Shape]) -> int | None:
    """Width of the prompt's vectors that the file was made for, where its header shows it."""
    for key, shape in shapes.items():
        cut = split(key)
        if cut and cut[1] == "down" and re.search(r"attn2[._]to_[kv]$", cut[0]) and len(shape) > 1:
            return shape[1]
    return None


def rank_text(ranks: Mapping[int, int]) -> str:
    """ "32", or "4–64" where modules differ, or "" where no module has a rank."""
    if not ranks:
        return ""
    low, high = min(ranks), max(ranks)
    return str(low) if low == high else f"{low}–{high}"


def parts_of(targets: Sequence[Target]) -> tuple[str, ...]:
    """The parts that are changed, in the order in which a generation uses them."""
    there = {target.part for target in targets}
    return tuple(part for part in (TEXT, TEXT_2, UNET) if part in there)
