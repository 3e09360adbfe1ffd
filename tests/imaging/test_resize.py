"""Resize modes, borders, enlarging, and colours kept."""

import numpy as np
import pytest
from PIL import Image

from modules.imaging.color import match_colors
from modules.imaging.outpaint import extend, extended
from modules.imaging.resize import border, cut, fit, opaque
from modules.imaging.upscale import PLAIN
from modules.schema import Outpaint
from tests.imaging.test_masks import noise, square

MODES = ["just_resize", "crop_and_resize", "resize_and_fill"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(64, 64), (33, 71), (200, 20), (8, 8), (40, 30)])
def test_every_mode_gives_the_size_asked_for(mode, size):
    assert fit(noise(), *size, mode).size == size
    assert fit(noise(mode="L"), *size, mode).size == size


def halves(width, height):
    """Left red, right blue."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image


def test_stretching_shows_all_of_it():
    found = fit(halves(80, 20), 40, 40, "just_resize")
    assert found.getpixel((2, 2)) == (255, 0, 0) and found.getpixel((37, 37)) == (0, 0, 255)


def test_cropping_shows_the_middle():
    image = Image.new("RGB", (90, 30), "white")
    image.paste("red", (30, 0, 60, 30))
    found = fit(image, 30, 30, "crop_and_resize")
    assert (np.asarray(found) == (255, 0, 0)).all()


def test_filling_continues_the_edge():
    image = Image.new("RGB", (30, 10), "red")
    image.paste("blue", (0, 9, 30, 10))
    found = fit(image, 30, 30, "resize_and_fill")
    assert found.getpixel((15, 0)) == (255, 0, 0) and found.getpixel((15, 29)) == (0, 0, 255)
    assert found.crop((0, 10, 30, 20)).tobytes() == image.tobytes()


@pytest.mark.parametrize("size", [(41, 33), (48, 32), (40, 30), (47, 31)])
def test_a_border_is_undone_by_cutting(size):
    for mode in ("RGB", "L"):
        image = noise(mode=mode)
        assert cut(border(image, *size), 40, 30).tobytes() == image.tobytes()


def test_transparency_shows_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    assert np.asarray(opaque(image))[0].tolist() == [[255, 255, 255], [255, 0, 0]]
    assert opaque(noise(mode="L")).mode == "RGB"


def test_outpainting_adds_only_what_is_asked_for():
    image, sides = noise(), Outpaint(left=8, right=3, up=0, down=5)
    larger, mask = extend(image, None, sides)
    assert larger.size == mask.size == extended(image.size, sides) == (51, 35)
    assert larger.crop((8, 0, 48, 30)).tobytes() == image.tobytes()
    assert mask.crop((8, 0, 48, 30)).getextrema() == (0, 0)
    outside = np.asarray(mask).copy()
    outside[0:30, 8:48] = 255
    assert outside.min() == 255
    _, both = extend(image, square(), sides)
    assert both.getpixel((8 + 12, 10)) == 255


@pytest.mark.parametrize("upscaler", PLAIN, ids=lambda row: row.name)
def test_plain_upscalers_meet_the_size_and_look_whether_to_stop(upscaler):
    asked = []
    found = upscaler.upscale(noise(), 83, 61, lambda: asked.append(1))
    assert found.size == (83, 61)
    assert asked


def test_colours_come_back_and_light_stays():
    reference = Image.fromarray(
        np.random.default_rng(0)
        .normal((200, 120, 60), 12, (64, 64, 3))
        .clip(0, 255)
        .astype(np.uint8)
    )
    shifted = Image.fromarray(
        np.random.default_rng(1)
        .normal((90, 140, 190), 12, (50, 70, 3))
        .clip(0, 255)
        .astype(np.uint8)
    )
    found = match_colors(shifted, reference)
    lab = [np.asarray(each.convert("LAB"), dtype=float) for each in (found, shifted)]
    assert abs(lab[0][..., 0].mean() - lab[1][..., 0].mean()) < 4
    red, _, blue = np.asarray(found, dtype=float).reshape(-1, 3).mean(axis=0)
    assert red > blue + 60  # warm again, where it was cold


def test_matching_a_picture_to_itself_changes_next_to_nothing():
    image = noise()
    assert np.abs(np.asarray(match_colors(image, image), int) - np.asarray(image, int)).max() <= 1
