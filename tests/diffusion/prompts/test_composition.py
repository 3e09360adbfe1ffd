"""AND and its weights."""

import pytest

from modules.diffusion.prompts.composition import MAX_WEIGHT, split
from tests.diffusion.prompts.growth import LINEAR, growth


def found(text):
    return [(part.text, part.weight) for part in split(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", [("a cat", 1)]),
        ("a :1.2 AND b:-0.5 AND c", [("a", 1.2), ("b", -0.5), ("c", 1)]),
        ("AND a", [("", 1), ("a", 1)]),
        ("a AND", [("a", 1), ("", 1)]),
        ("a AND b : .5 ", [("a", 1), ("b", 0.5)]),
        ("a AND b:2.", [("a", 1), ("b", 2)]),
        ("a AND b:0", [("a", 1), ("b", 0)]),
        ("(a:1.5) AND [b:3]", [("(a:1.5)", 1), ("[b:3]", 1)]),
        ("a\nAND\nb", [("a", 1), ("b", 1)]),
        ("a AND b:c", [("a", 1), ("b:c", 1)]),
        ("a AND b:1.5.5", [("a", 1), ("b:1.5.5", 1)]),
        ("BAND ANDROID and SAND", [("BAND ANDROID and SAND", 1)]),
    ],
)
def test_each_form(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    "text", ["wallpaper, aspect ratio 16:9", "a cat:2", "time 12:30", "a:-1", " a "]
)
def test_without_and_nothing_is_a_weight(text):
    assert found(text) == [(text, 1)]


def test_an_escaped_colon_is_text():
    assert found(r"12\:30 AND dog") == [(r"12\:30", 1), ("dog", 1)]
    assert found(r"a\\:3 AND dog") == [(r"a\\", 3), ("dog", 1)]


def test_weights_are_bounded():
    assert [weight for _, weight in found(f"a:{'9' * 5000} AND b:-99")] == [MAX_WEIGHT, -MAX_WEIGHT]


@pytest.mark.parametrize("pattern", ["AND ", "a:1 ", ":", ":1 AND ", "1", " "])
def test_work_is_linear(pattern):
    assert growth(lambda text: split(text + " AND b"), pattern) < LINEAR
