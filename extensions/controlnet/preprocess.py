"""The preprocessors that need no weights. Each takes and gives RGB, uint8, (height, width, 3)."""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def canny(picture: Array, low: float, high: float) -> Array:
    """White lines on black. Canny 1986; thresholds of the gradient's size."""
    return _grey_to_rgb(cv2.Canny(picture, min(low, high), max(low, high)))


def invert(picture: Array) -> Array:
    """Black lines on white become white ones on black."""
    return 255 - picture


def blur(picture: Array, sigma: float) -> Array:
    """A Gaussian of so many pixels."""
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def luminance(picture: Array, gamma: float) -> Array:
    """The lightness of CIE Lab, as grey: what a picture is to be coloured anew from."""
    return _grey_to_rgb(_gamma(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[..., 0], gamma))


def intensity(picture: Array, gamma: float) -> Array:
    """The value of HSV, as grey."""
    return _grey_to_rgb(_gamma(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[..., 2], gamma))


def xdog(picture: Array, threshold: float) -> Array:
    """White strokes on black where a narrow Gaussian is darker than a wide one by so much.

    Winnemöller et al., "XDoG: An eXtended difference-of-Gaussians compendium", 2012.
    """
    wide = picture.astype(np.float32)
    near, far = cv2.GaussianBlur(wide, (0, 0), 0.5), cv2.GaussianBlur(wide, (0, 0), 5.0)
    darker = 2 * (255 - np.clip(255 - far + near, 0, 255).min(axis=2))
    return _grey_to_rgb(np.where(darker > threshold, 255, 0).astype(np.uint8))


def shuffle(picture: Array, seed: int = 12345) -> Array:
    """Colours and textures stay, shapes are lost: each pixel is taken from a smoothly random place."""
    height, width = picture.shape[:2]
    rng = np.random.default_rng(seed)

    def field(most: int) -> Array:
        noise = np.zeros((height, width), np.float32)
        for grid in (3, 5):
            coarse = rng.random((grid, grid), dtype=np.float32)
            noise += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        spread = float(noise.max() - noise.min()) or 1.0
        return ((noise - noise.min()) / spread * (most - 1)).astype(np.float32)

    return cv2.remap(picture, field(width), field(height), cv2.INTER_LINEAR)


def downsample(picture: Array, rate: float) -> Array:
    """Smaller by so much, for tile models; 1 leaves it as it is."""
    if rate <= 1:
        return picture.copy()
    height, width = picture.shape[:2]
    small = max(1, round(width / rate)), max(1, round(height / rate))
    return cv2.resize(picture, small, interpolation=cv2.INTER_AREA)


def threshold(picture: Array, level: float) -> Array:
    """White where every channel is above the level."""
    return _grey_to_rgb(np.where(picture.min(axis=2) > level, 255, 0).astype(np.uint8))


def same(picture: Array) -> Array:
    """The picture itself."""
    return picture.copy()


WEIGHTLESS: Mapping[str, Callable[..., Array]] = {
    "none": same,
    "canny": canny,
    "invert (from white bg & black line)": invert,
    "blur_gaussian": blur,
    "recolor_luminance": luminance,
    "recolor_intensity": intensity,
    "scribble_xdog": xdog,
    "shuffle": shuffle,
    "tile_resample": downsample,
    "threshold": threshold,
    "inpaint_only": same,
    "ip-adapter-auto": same,
}
"""By name; each takes the picture and its module's sliders in order."""


def _grey_to_rgb(grey: Array) -> Array:
    return np.repeat(grey[..., None], 3, axis=2)


def _gamma(grey: Array, gamma: float) -> Array:
    return ((grey.astype(np.float32) / 255) ** gamma * 255).round().clip(0, 255).astype(np.uint8)
