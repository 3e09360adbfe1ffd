"""Bringing a picture to a size: the resize modes of img2img, and the border for sizes that a model cannot make."""

from typing import Literal

import numpy as np
from PIL import Image

PixelMode = Literal["just_resize", "crop_and_resize", "resize_and_fill"]
_LANCZOS = Image.Resampling.LANCZOS


def fit(image: Image.Image, width: int, height: int, mode: PixelMode) -> Image.Image:
    """`image` at exactly `width` x `height` pixels.

    "just_resize" stretches; "crop_and_resize" fills the frame and cuts what is over, from the middle;
    "resize_and_fill" shows all of it, and continues its outermost pixels where the frame is larger.
    """
    if image.size == (width, height):
        return image
    if mode == "just_resize":
        return image.resize((width, height), _LANCZOS)
    scale_x, scale_y = width / image.width, height / image.height
    scale = max(scale_x, scale_y) if mode == "crop_and_resize" else min(scale_x, scale_y)
    # The side that decides is met exactly; rounding may only move the other one.
    inner_width = width if scale == scale_x else max(1, round(image.width * scale))
    inner_height = height if scale == scale_y else max(1, round(image.height * scale))
    inner = image.resize((inner_width, inner_height), _LANCZOS)
    if mode == "crop_and_resize":
        return cut(inner, width, height)
    return border(inner, width, height)


def border(image: Image.Image, width: int, height: int) -> Image.Image:
    """`image` in the middle of a frame at least as large, its outermost pixels continued to the frame's edge.

    The inverse of `cut`: cutting the result to the size of `image` gives its pixels back.
    """
    if image.size == (width, height):
        return image
    left, top = (width - image.width) // 2, (height - image.height) // 2
    sides = ((top, height - image.height - top), (left, width - image.width - left))
    pixels = np.asarray(image)
    if pixels.ndim == 3:
        return Image.fromarray(np.pad(pixels, (*sides, (0, 0)), mode="edge"))
    return Image.fromarray(np.pad(pixels, sides, mode="edge"))


def cut(image: Image.Image, width: int, height: int) -> Image.Image:
    """The middle `width` x `height` of a picture at least as large."""
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def opaque(image: Image.Image) -> Image.Image:
    """RGB, what is transparent shown on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layered).convert("RGB")
