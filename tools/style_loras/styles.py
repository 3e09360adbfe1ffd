"""Four styles, each a function from a picture to the same picture drawn otherwise, and a measure of how much it is so.

Pictures are uint8 RGB, (128, 128, 3). A measure takes such pictures, (n, 128, 128, 3), and gives a number from 0 to 1
that is high for the style and low for plain pictures of the pocket model's data.

    python styles.py DATA --out sheet.png       what the styles look like, and what each measure says of each
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np


@dataclass(frozen=True)
class Style:
    """What is trained, and what its card says."""

    name: str
    title: str
    words: str
    """Put into half of the captions; the LoRA works with and without."""
    note: str
    draw: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    measure: Callable[[np.ndarray], float]


def ink_outline(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black lines on white paper, dark places filled."""
    soft = cv2.bilateralFilter(picture, 7, 40, 7).astype(np.float32)
    slope = np.zeros(picture.shape[:2], np.float32)
    for channel in range(3):
        right = cv2.Sobel(soft[..., channel], cv2.CV_32F, 1, 0, ksize=3)
        down = cv2.Sobel(soft[..., channel], cv2.CV_32F, 0, 1, ksize=3)
        slope = np.maximum(slope, np.hypot(right, down))
    lines = cv2.dilate((slope > 110).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    lines = cv2.GaussianBlur(lines, (0, 0), 0.8)
    paper = np.full(picture.shape[:2], 250, np.float32)
    drawn = paper * (1 - np.clip(lines * 1.3, 0, 1)) + 12 * np.clip(lines * 1.3, 0, 1)
    return np.repeat(drawn[..., None], 3, -1).round().astype(np.uint8)


def watercolour(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pale washes that run a little, darker at their rims, on rough paper."""
    height, width = picture.shape[:2]
    wave = [
        cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), 5)
        for _ in "xy"
    ]
    across, down = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    bent = cv2.remap(
        picture,
        across + wave[0] * 30,
        down + wave[1] * 30,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    wash = bent
    for _ in range(3):
        wash = cv2.bilateralFilter(wash, 9, 60, 9)
    colour = wash.astype(np.float32) / 255
    luma = cv2.cvtColor(wash, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    rim = np.clip(
        np.abs(cv2.Laplacian(cv2.GaussianBlur(luma, (0, 0), 1.5), cv2.CV_32F)) * 6, 0, 0.25
    )
    pigment = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), 3) * 0.6
    strength = np.clip(0.52 + pigment, 0.3, 0.75)[..., None]
    paper = np.array([0.98, 0.97, 0.93], np.float32)
    drawn = paper * (1 - strength) + colour * strength - rim[..., None] * 0.8
    return (drawn.clip(0, 1) * 255).round().astype(np.uint8)


def night_glow(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Night: what has colour glows out of a dark blue."""
    colour = picture.astype(np.float32) / 255
    rims = np.zeros_like(colour)
    soft = cv2.bilateralFilter(picture, 7, 40, 7).astype(np.float32) / 255
    slope = np.zeros(picture.shape[:2], np.float32)
    for channel in range(3):
        slope = np.maximum(
            slope,
            np.hypot(
                cv2.Sobel(soft[..., channel], cv2.CV_32F, 1, 0),
                cv2.Sobel(soft[..., channel], cv2.CV_32F, 0, 1),
            ),
        )
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.maximum(hsv[..., 1], 150)
    hsv[..., 2] = 255
    neon = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32) / 255
    rims = neon * np.clip(slope * 1.2, 0, 1)[..., None]
    bloom = cv2.GaussianBlur(rims, (0, 0), 5) * 1.4 + cv2.GaussianBlur(rims, (0, 0), 1.2)
    night = np.array([0.03, 0.04, 0.12], np.float32) + colour * np.array(
        [0.10, 0.11, 0.16], np.float32
    )
    return ((night + bloom).clip(0, 1) * 255).round().astype(np.uint8)


def blueprint(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White lines on blue paper, as plans were copied; what is drawn is a little lighter than the paper."""
    soft = cv2.bilateralFilter(picture, 7, 40, 7).astype(np.float32)
    slope = np.zeros(picture.shape[:2], np.float32)
    for channel in range(3):
        right = cv2.Sobel(soft[..., channel], cv2.CV_32F, 1, 0, ksize=3)
        down = cv2.Sobel(soft[..., channel], cv2.CV_32F, 0, 1, ksize=3)
        slope = np.maximum(slope, np.hypot(right, down))
    lines = cv2.GaussianBlur(np.clip((slope - 60) / 90, 0, 1), (0, 0), 0.9)
    lines = np.clip(lines * 1.5, 0, 1)[..., None]
    border = np.median(np.concatenate([soft[:4].reshape(-1, 3), soft[-4:].reshape(-1, 3)]), axis=0)
    thing = np.clip(np.abs(soft - border).max(-1) / 60, 0, 1)[..., None]
    paper = np.array([24, 66, 150], np.float32) + thing * np.array([14, 22, 26], np.float32)
    drawn = paper * (1 - lines) + np.array([236, 243, 252], np.float32) * lines
    return drawn.clip(0, 255).round().astype(np.uint8)


def inkiness(pictures: np.ndarray) -> float:
    """Share of pixels that are grey, and near white or near black."""
    wide = pictures.astype(np.float32)
    grey = wide.max(-1) - wide.min(-1) < 32
    luma = wide.mean(-1)
    return float((grey & ((luma > 215) | (luma < 60))).mean())


def paleness(pictures: np.ndarray) -> float:
    """Light and little saturated, but not white: washes."""
    wide = pictures.astype(np.float32) / 255
    light, dark = wide.max(-1), wide.min(-1)
    spread = light - dark
    washed = (light > 0.6) & (dark > 0.3) & (spread > 0.03) & (spread < 0.5)
    return float(washed.mean())


def darkness(pictures: np.ndarray) -> float:
    """How dark: 1 where all is black, 0 from a middling grey on; a night sky has about 0.8."""
    luma = pictures.astype(np.float32).mean(-1) / 255
    return float(np.clip((0.55 - luma) / 0.55, 0, 1).mean())


def blueness(pictures: np.ndarray) -> float:
    """Share of pixels in the blue of the paper."""
    wide = pictures.astype(np.float32)
    red, green, blue = wide[..., 0], wide[..., 1], wide[..., 2]
    paper = (blue > 110) & (blue < 205) & (red < 75) & (green > 40) & (green < 115)
    return float(paper.mean())


STYLES = {
    style.name: style
    for style in (
        Style(
            "ink_outline", "Ink outline", "ink drawing",
            "Black outlines on white paper.", ink_outline, inkiness,
        ),
        Style(
            "watercolour", "Watercolour", "watercolour painting",
            "Pale washes on rough paper.", watercolour, paleness,
        ),
        Style(
            "night_glow", "Night glow", "glowing at night",
            "Neon rims that glow out of a dark blue night.", night_glow, darkness,
        ),
        Style(
            "blueprint", "Blueprint", "blueprint drawing",
            "White lines on blue paper.", blueprint, blueness,
        ),
    )
}  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder that tools/pocket/data.py fetch made")
    parser.add_argument("--out", type=Path, default=Path("styles.png"))
    parser.add_argument("--count", type=int, default=6)
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "pocket"))
    from data import contact_sheet, stream

    source = stream(given.data, 5)
    plain = [next(source).picture for _ in range(given.count)]
    rng = np.random.default_rng(0)
    drawn = {
        "plain": plain,
        **{name: [style.draw(p, rng) for p in plain] for name, style in STYLES.items()},
    }
    for name, pictures in drawn.items():
        said = {
            other: round(style.measure(np.stack(pictures)), 3) for other, style in STYLES.items()
        }
        print(f"{name:12}", said)
    pictures = [picture for row in drawn.values() for picture in row]
    captions = [name for name, row in drawn.items() for _ in row]
    contact_sheet(pictures, captions).save(given.out)


if __name__ == "__main__":
    main()
