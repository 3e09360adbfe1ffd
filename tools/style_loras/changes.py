"""How two pictures of one seed differ: in their layout, that is their coarse shapes, or in their texture.

Pictures are uint8 RGB, (height, width, 3). Each is brought to the same mean and spread first, so that a style that
only makes a picture darker changes neither.
"""

import cv2
import numpy as np

COARSE = 6.0
"""Pixels of the blur's sigma at 128 pixels of width; what it leaves is layout, what it takes away is texture."""


def _evened(picture: np.ndarray) -> np.ndarray:
    grey = picture.astype(np.float32).mean(-1)
    return (grey - grey.mean()) / max(float(grey.std()), 1.0)


def _parts(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grey = _evened(picture)
    coarse = cv2.GaussianBlur(grey, (0, 0), COARSE * picture.shape[1] / 128)
    return coarse, np.abs(grey - coarse)


def layout_change(first: np.ndarray, second: np.ndarray) -> float:
    """1 - correlation of the coarse shapes: 0 for the same ones (or their negative), 1 for unrelated ones."""
    one, two = _parts(first)[0], _parts(second)[0]
    return 1.0 - abs(float(np.corrcoef(one.ravel(), two.ravel())[0, 1]))


def texture_change(first: np.ndarray, second: np.ndarray) -> float:
    """1 - correlation of where there is fine detail, and how much."""
    one, two = _parts(first)[1], _parts(second)[1]
    return 1.0 - float(np.corrcoef(one.ravel(), two.ravel())[0, 1])
