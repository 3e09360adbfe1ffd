"""How values are written, and what is said of those that are none."""

import pytest

from extensions.grid.values import Title, numbers, pieces, switches, texts
from modules.errors import UserError

X = Title.of("X", "Steps", "步数")


@pytest.mark.parametrize(
    "text, found",
    [
        ("4, 8,12", [4, 8, 12]),
        ("1-5", [1, 2, 3, 4, 5]),
        ("5-1", [5, 4, 3, 2, 1]),
        ("1-5 (+2)", [1, 3, 5]),
        ("1-6(+2)", [1, 3, 5]),
        ("10-5 (-3)", [10, 7]),
        ("1-10 [4]", [1, 4, 7, 10]),
        ("1-10 [5]", [1, 3, 6, 8, 10]),
        ("3-9 [1]", [3]),
        ("1, 2, .., 10", list(range(1, 11))),
        ("2, 4, ..., 9", [2, 4, 6, 8]),
        ("3, …, 6", [3, 4, 5, 6]),
        ("6, .., 3", [6, 5, 4, 3]),
        ("-2 - 2 (+2)", [-2, 0, 2]),
        ("-3--1", [-3, -2, -1]),
        ("SKIP:4, 8, skip: 12", [8]),
        ("1-3, 2-4", [1, 2, 3, 4]),
        ("4\n8\n", [4, 8]),
        ("7, 7.0", [7]),
    ],
)
def test_whole_numbers(text, found):
    assert numbers(X, text, whole=True, most=100) == found


@pytest.mark.parametrize(
    "text, found",
    [
        ("0-1 [5]", [0, 0.25, 0.5, 0.75, 1]),
        ("1-3 [5]", [1, 1.5, 2, 2.5, 3]),
        ("0.1, 0.2, .., 0.5", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("0-0.3 (+0.1)", [0, 0.1, 0.2, 0.3]),
        (".5, 2.", [0.5, 2.0]),
        ("0-1 [4]", [0, 0.3333, 0.6667, 1]),
    ],
)
def test_numbers_come_out_as_they_are_written(text, found):
    assert numbers(X, text, whole=False, most=100) == found


@pytest.mark.parametrize(
    "text, words",
    [
        ("4, x", "'x'"),
        ("", "no value"),
        ("SKIP: 3", "no value"),
        (" , ,", "no value"),
        ("1-5 (-1)", "never comes to its end"),
        ("1-5 (0)", "never comes to its end"),
        ("5, 4, .., 9", "never comes to its end"),
        ("1.5", "whole numbers"),
        ("..", "stands between numbers"),
        ("1, ..", "stands between numbers"),
        ("1-1000000000", "at most 100"),
        ("1-2 [999999]", "at most 100"),
        ("1-5 [0]", "at least 1"),
        ("1e999", "'1e999'"),
        ("١-٥", "number or a range"),
        ("1" * 60, "number or a range"),
        ('"1', "Close every quote"),
    ],
)
def test_what_is_wrong_is_said_with_axis_and_value(text, words):
    with pytest.raises(UserError) as caught:
        numbers(X, text, whole=True, most=100)
    assert caught.value.message("en").startswith("X: Steps") and words in caught.value.message("en")
    assert caught.value.message("zh").startswith("X（步数）")


def test_words_may_hold_commas_in_quotes():
    assert pieces(X, '"a, b", c ,"say ""hi"""') == ["a, b", "c", 'say "hi"']


def test_choices_are_taken_in_any_case_and_others_only_where_they_may_be():
    assert texts(X, "EULER, other", ["euler"], strict=False) == ["euler", "other"]
    with pytest.raises(UserError, match=r"'other' does not fit\. Give one of: euler, heun"):
        texts(X, "Euler, other", ["euler", "heun"], strict=True)


def test_switches():
    assert switches(X, "on, OFF, true") == [True, False]
    with pytest.raises(UserError, match="'maybe'"):
        switches(X, "maybe")
