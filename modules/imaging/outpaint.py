"""A larger canvas around a picture."""

from PIL import Image

from modules.imaging import masks
from modules.schema import Outpaint


def extended(size: tuple[int, int], sides: Outpaint) -> tuple[int, int]:
    """Width and height of a picture of `size` after `extend`."""
    return size[0] + sides.left + sides.right, size[1] + sides.up + sides.down


def extend(
    image: Image.Image, mask: Image.Image | None, sides: Outpaint
) -> tuple[Image.Image, Image.Image]:
    """The larger picture, what was added painted with the colours around it, and the mask of what is to change.

    Args:
        mask: what changes of the picture itself; None is nothing of it.
    """
    size = extended(image.size, sides)
    canvas = Image.new("RGB", size)
    canvas.paste(image, (sides.left, sides.up))
    added = Image.new("L", size, 255)
    added.paste(0, (sides.left, sides.up, sides.left + image.width, sides.up + image.height))
    changes = added.copy()
    if mask is not None:
        changes.paste(mask, (sides.left, sides.up))
    return masks.fill(canvas, added), changes
