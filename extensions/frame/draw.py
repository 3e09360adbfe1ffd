"""Drawing the frame."""

from __future__ import annotations

from PIL import Image, ImageColor, ImageDraw, ImageFont

from .plugin import FrameOptions

_TEXT = 0.045
"""Height of the letters, of the picture's shorter side."""


def framed(image: Image.Image, options: FrameOptions, text: str) -> Image.Image:
    """A new picture: `image` with a frame, and below it `text`, shortened to what fits."""
    side = min(image.size)
    border = round(side * options.width / 100)
    colour = ImageColor.getrgb(options.colour)[:3]
    size = max(8, round(side * _TEXT))
    below = round(size * 1.8) if text else 0
    whole = Image.new("RGB", (image.width + 2 * border, image.height + 2 * border + below), colour)
    whole.paste(image.convert("RGB"), (border, border))
    if text:
        pen = ImageDraw.Draw(whole)
        font = ImageFont.load_default(size)
        line = _fitting(" ".join(text.split()), pen, font, image.width)
        place = (whole.width / 2, border + image.height + (border + below) / 2)
        pen.text(place, line, fill=_ink(colour), font=font, anchor="mm")
    return whole


def _fitting(
    text: str,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> str:
    line = text
    while line and pen.textlength(line, font) > width:
        text = text[:-1]
        line = text.rstrip() + "…" if text else ""
    return line


def _ink(colour: tuple[int, ...]) -> str:
    """Black or white, whichever is read more easily (relative luminance, ITU-R BT.709)."""
    red, green, blue = colour[:3]
    return "#222222" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 128 else "#f4f4f4"
