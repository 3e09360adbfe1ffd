"""Width and height from an aspect ratio, by what the model can do."""

from modules.schema import ModelCard

ASPECTS: dict[str, float] = {
    "1:1": 1.0,
    "4:3": 4 / 3,
    "16:9": 16 / 9,
    "3:4": 3 / 4,
    "9:16": 9 / 16,
}


def size_for(aspect: str, card: ModelCard) -> tuple[int, int]:
    """The size of that shape with about as many pixels as the model's own, inside its limits.

    Where a limit stands in the way of the shape, the picture gets smaller rather than another shape.
    """
    ratio = ASPECTS[aspect]
    least, most, multiple = (
        card.size_limits.minimum,
        card.size_limits.maximum,
        card.size_limits.multiple,
    )
    pixels = card.defaults.width * card.defaults.height
    width = (pixels * ratio) ** 0.5
    width = min(width, most, most * ratio)
    return _fit(width, least, most, multiple), _fit(width / ratio, least, most, multiple)


def aspect_of(width: int | None, height: int | None) -> str | None:
    """The name of the shape, or None when it is none of ours (7 % of tolerance: sizes are rounded)."""
    if not width or not height:
        return None
    ratio = width / height
    best = min(ASPECTS, key=lambda name: abs(ASPECTS[name] - ratio))
    return best if abs(ASPECTS[best] / ratio - 1) < 0.07 else None


def _fit(side: float, least: int, most: int, multiple: int) -> int:
    rounded = round(side / multiple) * multiple
    smallest = -(-least // multiple) * multiple
    largest = most // multiple * multiple
    return max(smallest, min(rounded, largest))
