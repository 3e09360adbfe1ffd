"""Noise, sharpness and faces, on RGB pictures in uint8."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_STRIP = 1024
_FACE = 512
_LEAST_FACE = 24
_LOOK = 400
"""The longer side of the picture in which faces are looked for."""
_MOST_FACES = 32


def denoise(picture: Image, amount: float, check: Callable[[float], None]) -> Image:
    """Non-local means (Buades et al. 2005, OpenCV's), in strips so that it can be stopped; 0 changes nothing.

    `amount` 1 takes away noise of a standard deviation of about 15 levels.
    """
    if amount == 0:
        return picture
    result = np.empty_like(picture)
    reach = 14  # half of the windows that are searched and compared
    height = picture.shape[0]
    for top in range(0, height, _STRIP):
        check(top / height)
        first, last = max(0, top - reach), min(height, top + _STRIP + reach)
        strip = cv2.fastNlMeansDenoisingColored(
            np.ascontiguousarray(picture[first:last]), None, 12 * amount, 12 * amount, 7, 21
        )
        result[top : top + _STRIP] = strip[top - first : top - first + _STRIP]
    return result


def sharpen(picture: Image, amount: float, radius: float = 1.5) -> Image:
    """Unsharp mask: what a Gaussian of `radius` pixels takes away is added; 0 changes nothing, 1 doubles it."""
    if amount == 0:
        return picture
    blurred = cv2.GaussianBlur(picture, (0, 0), radius)
    return np.asarray(cv2.addWeighted(picture, 1 + amount, blurred, -amount, 0), np.uint8)


def faces(picture: Image) -> list[tuple[int, int, int]]:
    """Upright faces seen from the front, as squares (left, top, side), by scikit-image's cascade of local patterns.

    What is not half as large as the largest is left out: mostly it is none.
    """
    from skimage import data
    from skimage.feature import Cascade

    height, width = picture.shape[:2]
    shrink = max(1.0, max(height, width) / _LOOK)
    small = cv2.resize(
        picture,
        (max(1, round(width / shrink)), max(1, round(height / shrink))),
        interpolation=cv2.INTER_AREA,
    )
    if min(small.shape[:2]) < _LEAST_FACE:
        return []
    finder = Cascade(data.lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
    least, most = _LEAST_FACE, min(small.shape[:2])
    found = finder.detect_multi_scale(
        img=small, scale_factor=1.2, step_ratio=1, min_size=(least, least), max_size=(most, most)
    )
    squares = []
    for box in found[:_MOST_FACES]:
        side = round(max(box["width"], box["height"]) * shrink)
        squares.append((round(box["c"] * shrink), round(box["r"] * shrink), side))
    largest = max((side for _, _, side in squares), default=0)
    return [square for square in squares if square[2] * 2 >= largest]


def restore_faces(
    picture: Image,
    squares: list[tuple[int, int, int]],
    amount: float,
    restored: Callable[[Image], Image],
    check: Callable[[float], None],
) -> Image:
    """Each face, with what is around it, brought to 512 x 512, restored, and faded back in.

    Args:
        restored: a face of 512 x 512 in, the same out.
    """
    result = picture.copy()
    height, width = picture.shape[:2]
    for number, (left, top, side) in enumerate(squares):
        check(number / len(squares))
        around = round(side * 0.4)
        x0, y0 = max(0, left - around), max(0, top - around)
        x1, y1 = min(width, left + side + around), min(height, top + side + around)
        part = result[y0:y1, x0:x1]
        given = np.asarray(
            cv2.resize(part, (_FACE, _FACE), interpolation=cv2.INTER_CUBIC), np.uint8
        )
        made = cv2.resize(
            restored(given), (part.shape[1], part.shape[0]), interpolation=cv2.INTER_AREA
        )
        mask = _fade(part.shape[0], part.shape[1])[..., None] * amount
        mixed = part * (1 - mask) + made * mask
        result[y0:y1, x0:x1] = mixed.round().clip(0, 255).astype(np.uint8)
    return result


def _fade(height: int, width: int) -> NDArray[np.float32]:
    """1 in the middle, 0 at the edge."""

    def side(length: int) -> NDArray[np.float64]:
        place = (np.arange(length) + 0.5) / length
        return np.clip(np.minimum(place, 1 - place) / 0.15, 0, 1)

    return np.outer(side(height), side(width)).astype(np.float32)
