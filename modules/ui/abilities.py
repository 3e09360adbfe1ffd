"""Which controls the chosen model has no use for. They are greyed out, and left out of what Generate sends.

A caller of the HTTP API is told by an error instead: nobody there sees what is grey.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modules.diffusion.capabilities import CAPABILITIES, Capabilities
from modules.schema import ModelCard
from modules.ui.bind import MARK
from modules.ui.fields import Tab


@dataclass(frozen=True)
class Unable:
    """Fields by name, and what they are called in the document."""

    fields: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    """Ways of work of the img2img tab."""


@dataclass(frozen=True)
class _Row:
    able: str
    fields: tuple[str, ...]
    elements: tuple[str, ...]


_ROWS = (
    _Row("negative_prompt", ("negative_prompt",), ("negative",)),
    _Row("clip_skip", ("clip_skip",), ("clip-skip",)),
    _Row("weights", ("emphasis",), ("emphasis",)),
    _Row("tiling", ("tiling",), ("tiling",)),
    _Row("vae", ("vae",), ("vae",)),
    _Row(
        "variation",
        ("variation__strength", "variation__seed"),
        ("variation-strength", "variation-seed"),
    ),
    _Row(
        "seed_resize",
        ("seed_resize__width", "seed_resize__height"),
        ("seed-width", "seed-height"),
    ),
    _Row(
        "guidance_options",
        ("guidance__",),
        ("guidance-rescale", "guidance-start", "guidance-end"),
    ),
    _Row(
        "samplers",
        ("sampler", "schedule", "sampler_options__"),
        ("sampler", "schedule", "sampler-settings"),
    ),
    _Row("hires", ("hires__",), ("hires",)),
    _Row("refiner", ("refiner__",), ("refiner",)),
)
_PAINTED = ("inpaint", "inpaint_sketch", "outpaint")
_ALL_MODES = ("img2img", "sketch", *_PAINTED, "batch")


def unable(
    card: ModelCard | None, fields: Iterable[str], tab: Tab, panels: Iterable[str]
) -> Unable:
    """What to grey out for a model.

    Args:
        fields: names of the tab's controls.
        panels: names of extensions that have one on the tab.
    """
    able = CAPABILITIES.get(card.family, Capabilities()) if card else Capabilities()
    rows = [row for row in _ROWS if not getattr(able, row.able)]
    elements = [element for row in rows for element in row.elements]
    wanted = [name for row in rows for name in row.fields]
    if not able.adapters:
        elements += [f"panel-{name}" for name in panels]
        wanted += [f"{name}{MARK}" for name in panels]
    if able.guidance == "none":
        elements.append("cfg")
        wanted.append("cfg_scale")
    return Unable(
        tuple(name for name in fields if _named(name, wanted)),
        tuple(tab.id(element) for element in elements),
        _modes(able),
    )


def _named(field: str, wanted: Sequence[str]) -> bool:
    return any(field.startswith(one) if one.endswith(MARK) else field == one for one in wanted)


def _modes(able: Capabilities) -> tuple[str, ...]:
    if not able.img2img:
        return _ALL_MODES
    return () if able.inpaint else _PAINTED
