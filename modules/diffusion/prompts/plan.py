"""What a prompt as people write it asks for at each step, in plain sub-prompts: everything before the tokens."""

from collections.abc import Sequence

from modules.diffusion.prompts import comments, composition, networks
from modules.diffusion.prompts.composition import Part
from modules.diffusion.prompts.schedule import Pass, Until, schedule


def plan(prompt: str, run: Pass) -> tuple[tuple[Part, ...], ...]:
    """For each step (0-based) its sub-prompts; the last entry holds for all later steps.

    Comments and tags are taken out, `AND` and the changing forms are resolved; emphasis and BREAK are still there.
    """
    text, _ = networks.extract(comments.strip(prompt))
    parts = composition.split(text)
    lanes = [_per_step(schedule(part.text, run)) for part in parts]
    length = max(len(lane) for lane in lanes)
    return tuple(
        tuple(
            Part(lane[min(step, len(lane) - 1)], part.weight)
            for lane, part in zip(lanes, parts, strict=True)
        )
        for step in range(length)
    )


def plan_negative(prompt: str, run: Pass) -> tuple[str, ...]:
    """The same for a negative prompt, which has neither `AND` nor tags: there they are text."""
    return tuple(_per_step(schedule(comments.strip(prompt), run)))


def _per_step(entries: Sequence[Until]) -> list[str]:
    texts: list[str] = []
    for entry in entries[:-1]:
        texts.extend([entry.text] * (entry.last_step - len(texts)))
    return [*texts, entries[-1].text]
