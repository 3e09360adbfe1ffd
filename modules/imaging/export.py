"""A saved picture in another format, with its text where A1111 puts it: EXIF UserComment (EXIF 2.3, section 4.6.5)."""

import io
from pathlib import Path

from PIL import Image

from modules.errors import LimitError
from modules.imaging import metadata
from modules.imaging.pictures import open_picture

FORMATS = (".png", ".jpg", ".jpeg", ".webp")
"""Suffixes that can be asked for."""

_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_UNICODE = b"UNICODE\x00"
_MOST_BYTES = 65_000  # one JPEG segment, less what stands around the text
_QUALITY = 95


def convert(picture: Path, suffix: str) -> bytes:
    """The bytes of `picture` as JPEG or WebP, its infotext kept.

    Raises:
        UserError: the picture cannot be read.
        LimitError: the text is longer than a JPEG can carry.
    """
    text = metadata.decode(picture).infotext or ""
    with open_picture(picture) as image:
        jpeg = suffix.lower() != ".webp"
        exif = _exif(text, picture.name, limited=jpeg)
        buffer = io.BytesIO()
        if jpeg:
            _flat(image).save(buffer, "JPEG", quality=_QUALITY, subsampling=0, exif=exif)
        else:
            image.save(buffer, "WEBP", quality=_QUALITY, method=4, exif=exif)
        return buffer.getvalue()


def _flat(image: Image.Image) -> Image.Image:
    """Without transparency, which a JPEG does not have: on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    above = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, above).convert("RGB")


def _exif(text: str, name: str, *, limited: bool) -> bytes:
    comment = _UNICODE + text.encode("utf-16-be")
    if limited and len(comment) > _MOST_BYTES:
        raise LimitError("error.export.text", name=name, found=len(text), most=_MOST_BYTES // 2)
    exif = Image.Exif()
    if text:
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = comment
    return exif.tobytes()
