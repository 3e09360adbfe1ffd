"""Keeping the colours of a picture through img2img."""

import numpy as np
from PIL import Image

# sRGB (IEC 61966-2-1) to XYZ, white D65.
_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.9504700, 1.0000001, 1.0888300)
_KNEE = 6 / 29


def match_colors(image: Image.Image, reference: Image.Image) -> Image.Image:
    """`image` with its own lightness, and with the spread of colours of `reference`.

    In CIE L*a*b*, a* and b* take the reference's distribution of values (histogram matching: equal ranks get equal
    values); the pictures may differ in size.
    """
    ours, theirs = _to_lab(image), _to_lab(reference)
    for channel in (1, 2):
        ours[..., channel] = _matched(ours[..., channel], theirs[..., channel])
    return _from_lab(ours)


def _matched(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    flat = values.ravel()
    _, inverse, counts = np.unique(flat.round(3), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / flat.size
    wanted = np.sort(reference.ravel())
    places = (np.arange(wanted.size) + 0.5) / wanted.size
    return np.interp(ranks, places, wanted)[inverse].reshape(values.shape)


def _to_lab(image: Image.Image) -> np.ndarray:
    levels = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    relative = linear @ np.transpose(_TO_XYZ) / _WHITE
    bent = np.where(relative > _KNEE**3, np.cbrt(relative), relative / (3 * _KNEE**2) + 4 / 29)
    x, y, z = bent[..., 0], bent[..., 1], bent[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _from_lab(lab: np.ndarray) -> Image.Image:
    y = (lab[..., 0] + 16) / 116
    bent = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    relative = np.where(bent > _KNEE, bent**3, 3 * _KNEE**2 * (bent - 4 / 29))
    linear = (relative * _WHITE) @ np.linalg.inv(_TO_XYZ).T
    linear = linear.clip(0, 1)
    levels = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.rint(levels * 255).clip(0, 255).astype(np.uint8))
