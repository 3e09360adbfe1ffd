"""Width and height from an aspect ratio, by what the model can do."""

from modules.schema import ModelCard
from modules.schema.shape import size_of_ratio

ASPECTS: dict[str, float] = {
    "1:1": 1.0,
    "4:3": 4 / 3,
    "16:9": 16 / 9,
    "3:4": 3 / 4,
    "9:16": 9 / 16,
}


def size_for(aspect: str, card: ModelCard) -> tuple[int, int]:
    """The size of that shape with about as many pixels as the model's own, inside its limits."""
    return size_of_ratio(ASPECTS[aspect], card)


def aspect_of(width: int | None, height: int | None) -> str | None:
    """The name of the shape, or None when it is none of ours (7 % of tolerance: sizes are rounded)."""
    if not width or not height:
        return None
    ratio = width / height
    best = min(ASPECTS, key=lambda name: abs(ASPECTS[name] - ratio))
    return best if abs(ASPECTS[best] / ratio - 1) < 0.07 else None
