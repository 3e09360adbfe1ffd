"""Sizes of a shape that a model can make."""

from modules.schema.model_card import ModelCard


def size_like(width: int, height: int, card: ModelCard) -> tuple[int, int]:
    """The size for working on a picture: its own where the model can do it, else its shape at the model's size."""
    limits = card.size_limits
    own = card.defaults.width * card.defaults.height
    sides = [round(side / limits.multiple) * limits.multiple for side in (width, height)]
    fits = all(limits.minimum <= side <= limits.maximum for side in sides)
    if fits and own / 2 <= sides[0] * sides[1] <= own * 2:
        return sides[0], sides[1]
    return size_of_ratio(width / height, card)


def size_of_ratio(ratio: float, card: ModelCard) -> tuple[int, int]:
    """About as many pixels as the model's own size, inside its limits.

    Where a limit stands in the way of the shape, the picture gets smaller rather than another shape.
    """
    least, most, multiple = (
        card.size_limits.minimum,
        card.size_limits.maximum,
        card.size_limits.multiple,
    )
    pixels = card.defaults.width * card.defaults.height
    width = (pixels * ratio) ** 0.5
    width = min(width, most, most * ratio)
    return _fit(width, least, most, multiple), _fit(width / ratio, least, most, multiple)


def _fit(side: float, least: int, most: int, multiple: int) -> int:
    rounded = round(side / multiple) * multiple
    smallest = -(-least // multiple) * multiple
    largest = most // multiple * multiple
    return max(smallest, min(rounded, largest))
