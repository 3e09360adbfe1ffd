"""Masks: what changes, what stays bit for bit, and where."""

import numpy as np
import pytest
from PIL import Image

from modules.imaging import masks
from modules.imaging.masks import Box


def noise(width=40, height=30, mode="RGB", seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels).convert(mode)


def square(width=40, height=30, box=(10, 8, 20, 18)):
    mask = Image.new("L", (width, height), 0)
    mask.paste(255, box)
    return mask


def levels(image):
    return np.asarray(image).ravel().tolist()


def test_a_painted_layer_is_read_from_its_transparency_and_a_file_from_its_brightness():
    layer = Image.new("RGBA", (4, 1), (0, 0, 0, 0))
    layer.putpixel((1, 0), (0, 0, 0, 255))
    layer.putpixel((2, 0), (255, 255, 255, 100))
    assert levels(masks.read(layer)) == [0, 255, 0, 0]
    assert levels(masks.read(layer, hard=False)) == [0, 255, 100, 0]
    file = Image.new("L", (3, 1))
    file.putdata([127, 128, 255])
    assert levels(masks.read(file)) == [0, 255, 255]
    assert levels(masks.read(file.convert("RGBA"))) == [0, 255, 255]


def test_blur_is_a_gaussian_of_that_deviation():
    step = Image.new("L", (101, 21), 0)
    step.paste(255, (50, 0, 101, 21))
    found = np.asarray(masks.blur(step, 6), dtype=float)[10] / 255
    from math import erf

    expected = [0.5 * (1 + erf((x - 49.5) / (6 * 2**0.5))) for x in range(101)]
    assert np.abs(found - expected).max() < 0.02
    assert masks.blur(step, 0) is step


def test_blur_leaves_what_is_far_alone():
    found = np.asarray(masks.blur(square(200, 200, (90, 90, 110, 110)), 4))
    assert found[:80].max() == 0 and found[:, :80].max() == 0  # 2.5 deviations away
    assert found[100, 100] > 250


@pytest.mark.parametrize(
    ("box", "padding", "ratio", "expected"),
    [
        ((40, 40, 60, 60), 0, (1, 1), Box(40, 40, 60, 60)),
        ((40, 40, 60, 60), 10, (1, 1), Box(30, 30, 70, 70)),
        ((40, 40, 60, 60), 0, (2, 1), Box(30, 40, 70, 60)),
        ((40, 40, 60, 60), 0, (1, 2), Box(40, 30, 60, 70)),
        ((0, 40, 20, 60), 0, (2, 1), Box(0, 40, 40, 60)),  # moved inside, not cut
        ((90, 90, 100, 100), 30, (1, 1), Box(60, 60, 100, 100)),
        ((0, 0, 100, 10), 0, (1, 1), Box(0, 0, 100, 100)),
    ],
)
def test_the_region_is_padded_shaped_and_inside(box, padding, ratio, expected):
    assert masks.region(square(100, 100, box), padding, *ratio) == expected


def test_there_is_no_region_of_nothing():
    with pytest.raises(ValueError, match="empty"):
        masks.region(Image.new("L", (8, 8)), 0, 1, 1)


def test_filling_takes_the_colours_around_and_touches_nothing_else():
    image = Image.new("RGB", (60, 40), "red")
    image.paste("blue", (30, 0, 60, 40))
    mask = square(60, 40, (5, 10, 15, 30))
    image.paste("lime", (5, 10, 15, 30))
    filled = masks.fill(image, mask)
    inside = np.asarray(filled)[12:28, 7:13].reshape(-1, 3).astype(int)
    assert inside[:, 0].min() > 150 and inside[:, 1].max() < 10  # red, nothing of the lime
    kept = np.asarray(mask) == 0
    assert (np.asarray(filled)[kept] == np.asarray(image)[kept]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 5), (64, 64)])
def test_any_size_can_be_filled(size):
    image = noise(*size)
    mask = Image.new("L", size, 0)
    mask.putpixel((size[0] - 1, size[1] - 1), 255)
    assert masks.fill(image, mask).size == size
    assert masks.fill(image, Image.new("L", size, 255)).size == size


def test_an_overlay_keeps_pixels_bit_for_bit():
    original, new = noise(seed=1), noise(seed=2)
    mask = masks.blur(square(), 2)
    found, levels = np.asarray(masks.overlay(original, new, mask)), np.asarray(mask)
    assert (found[levels == 0] == np.asarray(original)[levels == 0]).all()
    assert (found[levels == 255] == np.asarray(new)[levels == 255]).all()
    assert 0 < (levels == 0).sum() < levels.size


def test_a_part_goes_back_to_its_place():
    whole, part = noise(), noise(10, 5, seed=3)
    found = masks.place(whole, part, Box(4, 6, 14, 11))
    assert found.crop((4, 6, 14, 11)).tobytes() == part.tobytes()
    assert whole.tobytes() == noise().tobytes()
    assert masks.place(whole, noise(20, 10), Box(4, 6, 14, 11)).size == whole.size
