"""From a unit's picture to what its control model sees: preprocessed, and of the result's size."""

import cv2
import numpy as np
from PIL import Image

from modules.plugins import Host

from .aside import detect_aside
from .checks import check_pictures
from .detectors import detect, missing
from .modules_list import Module, module_named
from .preprocess import WEIGHTLESS, Array
from .unit import ResizeMode, Unit

USUAL_RES = 512


def sliders(unit: Unit, module: Module) -> list[float]:
    """The unit's numbers, the usual ones where it has none, within their bounds."""
    found = []
    for slider, given in zip(
        module.sliders, (unit.threshold_a, unit.threshold_b)[: len(module.sliders)], strict=True
    ):
        value = slider.value if given < 0 else given
        found.append(min(max(value, slider.low), slider.high))
    return found


def resolution(unit: Unit, size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """The shorter side, in pixels, at which the preprocessor works.

    Pixel-perfect: that at which the map will be in the result, which depends on how it is resized.
    """
    if not unit.pixel_perfect:
        return USUAL_RES if unit.processor_res < 64 else unit.processor_res
    across, down = wanted[0] / size[0], wanted[1] / size[1]
    scale = min(across, down) if unit.resize_mode == "resize_and_fill" else max(across, down)
    return max(16, round(min(size) * scale))


def preprocessed(
    host: Host, unit: Unit, wanted: tuple[int, int], *, aside: bool = False
) -> Image.Image:
    """What the preprocessor makes of the unit's picture, at the size that it works in; RGB.

    Args:
        aside: one that needs weights runs in a process of its own.

    Raises:
        UserError: the picture is not there or damaged, or the preprocessor's weights are missing.
    """
    check_pictures(unit)
    return made_of(host, unit, host.open_picture(unit.image), wanted, aside=aside)


def made_of(
    host: Host, unit: Unit, image: Image.Image, wanted: tuple[int, int], *, aside: bool = False
) -> Image.Image:
    """As `preprocessed`, of a picture that is in memory already, whatever the unit names.

    Raises:
        UserError: the preprocessor is unknown, or its weights are missing.
    """
    module = module_named(unit.module)
    picture = flat(image)
    pixels = np.asarray(picture)
    if module.sized:
        pixels = at_resolution(pixels, resolution(unit, picture.size, wanted))
    numbers = sliders(unit, module)
    if module.weights is not None:
        if aside and not missing(host, module):
            made = detect_aside(host, module.name, pixels, numbers)
        else:
            made = detect(host, module, pixels, numbers)
    else:
        made = WEIGHTLESS[module.name](pixels, *numbers)
    return Image.fromarray(made)


def control_map(
    host: Host, unit: Unit, wanted: tuple[int, int], *, aside: bool = False
) -> Image.Image:
    """The map at the result's size, RGB."""
    made = preprocessed(host, unit, wanted, aside=aside)
    return fitted(made, wanted, unit.resize_mode, binary=module_named(unit.module).binary)


def square(host: Host, unit: Unit) -> Image.Image:
    """What an IP-Adapter's image encoder sees of the unit's picture: the square in its middle, RGB, 224 pixels a side.

    Raises:
        UserError: the picture is not there or damaged.
    """
    return fitted(preprocessed(host, unit, (224, 224)), (224, 224), "crop_and_resize", binary=False)


def mask_of(host: Host, unit: Unit, wanted: tuple[int, int]) -> Array | None:
    """The unit's mask at the result's size, (height, width), 0 to 1; None without one.

    Raises:
        UserError: it is not there or damaged.
    """
    if not unit.mask_image:
        return None
    grey = flat(host.open_picture(unit.mask_image), (0, 0, 0))
    sized = fitted(grey, wanted, unit.resize_mode, binary=False).convert("L")
    return np.asarray(sized, np.float32) / 255


def flat(image: Image.Image, ground: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """RGB; what is transparent lies on `ground`."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    below = Image.new("RGBA", image.size, (*ground, 255))
    return Image.alpha_composite(below, image).convert("RGB")


def at_resolution(pixels: Array, side: int) -> Array:
    """With a shorter side of so many pixels."""
    height, width = pixels.shape[:2]
    scale = side / min(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return pixels if size == (width, height) else _resized(pixels, size)


def fitted(
    image: Image.Image, wanted: tuple[int, int], mode: ResizeMode, *, binary: bool
) -> Image.Image:
    """`image` at the size `wanted`: stretched, cut from the middle, or whole within a border of its edge's colour."""
    pixels = np.asarray(image)
    width, height = wanted
    if mode == "just_resize":
        return Image.fromarray(_lines(_resized(pixels, wanted), binary))
    across, down = width / image.width, height / image.height
    scale = max(across, down) if mode == "crop_and_resize" else min(across, down)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if mode == "crop_and_resize":
        size = max(size[0], width), max(size[1], height)
    inner = _lines(_resized(pixels, size), binary)
    if mode == "crop_and_resize":
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        return Image.fromarray(inner[top : top + height, left : left + width])
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    border = np.zeros(3) if binary else np.median(edge, axis=0)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = border.astype(np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = inner[: height - top, : width - left]
    return Image.fromarray(canvas)


def _resized(pixels: Array, size: tuple[int, int]) -> Array:
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels.copy()
    smaller = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    return cv2.resize(pixels, size, interpolation=way)


def _lines(pixels: Array, binary: bool) -> Array:
    """Lines stay black and white; thin ones must not fade away when a map becomes smaller."""
    return np.where(pixels > 64, 255, 0).astype(np.uint8) if binary else pixels
