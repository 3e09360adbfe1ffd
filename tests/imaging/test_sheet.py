"""Sheets: every picture at its place, labels in the room that there is, never too large."""

import pytest
from PIL import Image

from modules.imaging.sheet import MAX_PIXELS, Table, compose, font_for, wrapped

COLOURS = {(0, 0): "#ff0000", (1, 0): "#00ff00", (0, 1): "#0000ff"}


def table(**changes):
    pictures = {
        place: lambda colour=colour: Image.new("RGB", (64, 48), colour)
        for place, colour in COLOURS.items()
    }
    values = {"columns": ["4", "8"], "rows": ["a", "b"], "pictures": pictures, "size": (64, 48)}
    return Table(**{**values, **changes})


def count(image, colour):
    wanted = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return sum(number for number, found in image.getcolors(1 << 24) if found == wanted)


def middle(image, colour):
    wanted = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    mask = Image.new("1", image.size)
    mask.putdata([pixel == wanted for pixel in image.get_flattened_data()])
    left, top, right, bottom = mask.getbbox()
    return (left + right) / 2, (top + bottom) / 2


def test_every_picture_is_whole_and_at_its_place():
    image = compose(table(), MAX_PIXELS)
    assert all(count(image, colour) == 64 * 48 for colour in COLOURS.values())
    assert count(image, "#ececee") == 64 * 48, "the cell that lacks is an empty one"
    red, green, blue = (middle(image, colour) for colour in COLOURS.values())
    assert red[1] == green[1] and red[0] < green[0]
    assert red[0] == blue[0] and red[1] < blue[1]


def test_labels_take_room_and_ink():
    plain = compose(table(columns=["", ""], rows=["", ""]), MAX_PIXELS)
    labelled = compose(table(title="Seed 5"), MAX_PIXELS)
    assert labelled.width > plain.width and labelled.height > plain.height
    assert count(labelled, "#1d1d1f") > 0 == count(plain, "#1d1d1f")


def test_a_smaller_picture_keeps_its_size_and_a_larger_one_its_shape():
    pictures = {
        (0, 0): lambda: Image.new("RGB", (20, 20), "#ff0000"),
        (1, 0): lambda: Image.new("RGB", (128, 48), "#00ff00"),
    }
    image = compose(table(pictures=pictures), MAX_PIXELS)
    assert count(image, "#ff0000") == 400
    assert count(image, "#00ff00") == 64 * 24


@pytest.mark.parametrize("most", [20_000, 5_000, 1_000])
def test_it_is_made_smaller_until_it_fits(most):
    image = compose(table(columns=["", ""], rows=["", ""]), most)
    assert image.width * image.height <= most


def test_prompts_flow_with_their_labels():
    pictures = {(at, 0): lambda: Image.new("RGB", (64, 64), "#ff0000") for at in range(6)}
    values = {"columns": ["a cat"] * 6, "rows": [""], "pictures": pictures, "size": (64, 64)}
    image = compose(Table(**values, flows=True), MAX_PIXELS)
    assert count(image, "#ff0000") == 6 * 64 * 64
    assert image.width < 4 * 64, "three of them side by side"


def test_long_labels_break_at_spaces_and_are_cut_at_last():
    font = font_for("a", 12)
    lines = wrapped("one two three four five six seven eight nine ten eleven twelve", font, 60)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(font.getlength(line) <= 60 for line in lines)
    assert not any(line.startswith(" ") for line in lines)
    assert wrapped("", font, 60) == []
    assert wrapped("字" * 500, font, 1)[0] == "字", "one letter stands even where none fits"
