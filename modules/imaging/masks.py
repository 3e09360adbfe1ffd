"""Masks of inpainting: "L" pictures, 255 where the picture is made anew, 0 where it stays."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

THRESHOLD = 128


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels; right and bottom are just outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def corners(self) -> tuple[int, int, int, int]:
        """As PIL's `crop` wants it."""
        return self.left, self.top, self.right, self.bottom


def read(image: Image.Image, *, hard: bool = True) -> Image.Image:
    """The mask that a picture means: its transparency where it has any, else its brightness.

    A painted layer is transparent where nothing was painted; a mask file is black there. `hard` rounds each pixel.
    """
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        mask = alpha if alpha.getextrema() != (255, 255) else image.convert("L")
    else:
        mask = image.convert("L")
    return mask.point([0] * THRESHOLD + [255] * (256 - THRESHOLD)) if hard else mask


def invert(mask: Image.Image) -> Image.Image:
    """What stays becomes what changes."""
    return mask.point([255 - level for level in range(256)])


def is_empty(mask: Image.Image) -> bool:
    """Nothing is to change."""
    return mask.getbbox() is None


def blur(mask: Image.Image, radius: int) -> Image.Image:
    """Gaussian with a standard deviation of `radius` pixels, cut off at 2.5 of them; 0 leaves the mask alone."""
    if radius <= 0:
        return mask
    reach = int(2.5 * radius + 0.5)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / radius) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    levels = np.asarray(mask, dtype=np.float32)
    for axis in (0, 1):
        levels = _along(levels, kernel, reach, axis)
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def _along(levels: np.ndarray, kernel: np.ndarray, reach: int, axis: int) -> np.ndarray:
    length = levels.shape[axis]
    sides = [(0, 0), (0, 0)]
    sides[axis] = (reach, reach)
    padded = np.pad(levels, sides, mode="edge")
    total = np.zeros_like(levels)
    for at, weight in enumerate(kernel):
        part = padded[at : at + length] if axis == 0 else padded[:, at : at + length]
        total += weight * part
    return total


def region(mask: Image.Image, padding: int, width: int, height: int) -> Box:
    """The part that "only masked" works on: what changes, `padding` pixels around, widened to `width` : `height`.

    It never leaves the picture, so a mask at the edge may give another shape than asked.

    Raises:
        ValueError: nothing is to change.
    """
    found = mask.getbbox()
    if found is None:
        raise ValueError("the mask is empty")
    left, right = _widened(found[0] - padding, found[2] + padding, 0, mask.width)
    top, bottom = _widened(found[1] - padding, found[3] + padding, 0, mask.height)
    ratio = width / height
    if (right - left) / (bottom - top) < ratio:
        left, right = _widened(left, right, round((bottom - top) * ratio), mask.width)
    else:
        top, bottom = _widened(top, bottom, round((right - left) / ratio), mask.height)
    return Box(left, top, right, bottom)


def _widened(low: int, high: int, length: int, most: int) -> tuple[int, int]:
    """The span made at least `length` long around its middle, moved inside 0 … `most`, cut where that is too short."""
    more = max(0, length - (high - low))
    low, high = low - more // 2, high + more - more // 2
    if length:  # a span that only sticks out is cut; one that was made longer is moved
        shift = max(0, -low) - max(0, high - most)
        low, high = low + shift, high + shift
    return max(0, low), min(most, high)


def fill(image: Image.Image, mask: Image.Image) -> Image.Image:
    """What changes painted over with the colours around it, softly; what stays is as it was, bit for bit.

    Push-pull (Gortler et al., "The Lumigraph", 1996): averages of what is known at ever coarser levels fill what is
    unknown at the finer ones.
    """
    known = 1.0 - np.asarray(mask, dtype=np.float32)[..., None] / 255.0
    if not known.any():
        return image  # nothing around to take colours from
    colours = np.asarray(image.convert("RGB"), dtype=np.float32)
    filled = _push_pull(colours * known, known)
    mixed = colours * known + filled * (1.0 - known)
    return Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8))


def _push_pull(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(h, w, 3) colours times weights and (h, w, 1) weights to colours everywhere."""
    own = colours / np.maximum(weights, 1e-6)
    height, width = weights.shape[:2]
    if max(height, width) <= 1 or weights.min() >= 1.0:
        return own
    coarse = _push_pull(_halved(colours), np.minimum(1.0, _halved(weights)))
    pulled = _doubled(coarse, height, width)
    share = np.minimum(1.0, weights)
    return own * share + pulled * (1.0 - share)


def _halved(values: np.ndarray) -> np.ndarray:
    """The mean of each 2 x 2, an odd last row or column standing for two."""
    height, width = values.shape[:2]
    even = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _doubled(values: np.ndarray, height: int, width: int) -> np.ndarray:
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(values[..., index])).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        for index in range(values.shape[2])
    ]
    return np.stack(channels, axis=-1)


def overlay(original: Image.Image, new: Image.Image, mask: Image.Image) -> Image.Image:
    """`new` where the mask is white, `original` where it is black, mixed in between.

    Where the mask is 0 the result has the original's very pixels. All three have the same size.
    """
    return Image.composite(new.convert("RGB"), original.convert("RGB"), mask)


def place(whole: Image.Image, part: Image.Image, box: Box) -> Image.Image:
    """A copy of `whole` with `part`, brought to the box's size, in its place."""
    copy = whole.copy()
    if part.size != (box.width, box.height):
        part = part.resize((box.width, box.height), Image.Resampling.LANCZOS)
    copy.paste(part, (box.left, box.top))
    return copy
