"""Opening pictures that somebody else made, without trusting them; and small copies of ours."""

import io
import re
import warnings
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from modules.errors import LimitError, UserError, cause

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64_000_000
MAX_OWN_PIXELS = 160_000_000
"""Of pictures that were made here, such as large grids; nothing larger is decoded by whatever code."""


def open_picture(source: Path | str | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open a PNG, JPEG or WebP picture; its pixels are not decoded yet, its size is already checked.

    Pillow alone decodes twice its limit before it refuses, and knows some forty formats more, each a parser to
    attack; so the size of the header is checked here and the formats are limited.

    Raises:
        UserError: it is no such picture, or it is damaged.
        LimitError: it has more than `max_pixels` pixels.
    """
    name = source if isinstance(source, str | Path) else getattr(source, "name", "upload")
    try:
        image = Image.open(source, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        said = re.search(r"\((\d+) pixels\)", str(error))
        found = said.group(1) if said else "?"
        raise LimitError("error.picture.pixels", name=name, found=found, most=max_pixels) from error
    except UnidentifiedImageError as error:
        raise UserError("error.picture.format", name=name, formats=", ".join(FORMATS)) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError("error.picture.read", name=name, why=cause(error)) from error
    if image.width * image.height > max_pixels:
        found = image.width * image.height
        image.close()
        raise LimitError("error.picture.pixels", name=name, found=found, most=max_pixels)
    return image


def cap_pillow() -> None:
    """Hold Pillow itself to `MAX_OWN_PIXELS`, also where an extension opens a picture without `open_picture`."""
    Image.MAX_IMAGE_PIXELS = MAX_OWN_PIXELS
    # Between its limit and twice as much Pillow only warns, and decodes.
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def thumbnail(source: Path | str | IO[bytes], side: int) -> bytes:
    """A WebP copy of a picture, at most `side` pixels wide and high, for galleries.

    Raises:
        UserError: the picture cannot be read.
    """
    with open_picture(source) as image:
        try:
            image.draft("RGB", (side, side))  # a JPEG decodes at a fraction of its size
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError("error.picture.read", name=source, why=cause(error)) from error
        return webp(image)


def webp(image: Image.Image, quality: int = 80) -> bytes:
    """Encode quickly, for previews and thumbnails: small, lossy, without metadata."""
    buffer = io.BytesIO()
    mode = "RGBA" if image.has_transparency_data else "RGB"
    image.convert(mode).save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()
