r"""The notation, form by form. Where the A1111 family crashes or loses text, ours keeps the text (last table)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.diffusion.prompts.parse import MAX_DEPTH, MAX_WEIGHT, Segment, parse
from tests.diffusion.prompts.growth import LINEAR, growth


def weighted(text: str) -> list[tuple[str, float]]:
    return [(segment.text, round(segment.weight, 4)) for segment in parse(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a cat", [("a cat", 1.0)]),
        ("(a)", [("a", 1.1)]),
        ("((a))", [("a", 1.21)]),
        ("[a]", [("a", 0.9091)]),
        ("[[a]]", [("a", 0.8264)]),
        ("(a:1.5)", [("a", 1.5)]),
        ("(a: 1.5 )", [("a", 1.5)]),
        ("(a:.5)", [("a", 0.5)]),
        ("(a:+1.2)", [("a", 1.2)]),
        ("(a:-1)", [("a", -1.0)]),
        ("(a:0)", [("a", 0.0)]),
        ("((a:1.2))", [("a", 1.32)]),
        ("[(a:1.5)]", [("a", 1.3636)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 1.0), (" c", 0.5)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:1,2)", [("a:1,2", 1.1)]),
        ("(a:1e2)", [("a:1e2", 1.1)]),
        ("(a:1.2:1.3)", [("a:1.2", 1.3)]),
        ("[a:1.5]", [("a:1.5", 0.9091)]),
        ("a:1.5)", [("a:1.5)", 1.0)]),
        ("a)", [("a)", 1.0)]),
        ("a]", [("a]", 1.0)]),
        ("(a", [("a", 1.1)]),
        ("[a", [("a", 0.9091)]),
        (r"\(a\)", [("(a)", 1.0)]),
        (r"\[a\]", [("[a]", 1.0)]),
        (r"\\(a)", [("\\", 1.0), ("a", 1.1)]),
        (r"(a\):1.3)", [("a)", 1.3)]),
        (r"a\b", [("ab", 1.0)]),
        ("a\\", [("a", 1.0)]),
        (r"\o/", [("o/", 1.0)]),
        (r"(a\b:1.2)", [("ab", 1.2)]),
        ("(a)(b)", [("ab", 1.1)]),
        ("()", []),
        ("a (b) c", [("a ", 1.0), ("b", 1.1), (" c", 1.0)]),
        ("(a [b) c]", [("a ", 1.1), ("b", 1.0), (" c", 0.9091)]),
        ("16:9", [("16:9", 1.0)]),
    ],
)
def test_the_forms(text, expected):
    assert weighted(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a:1.5.5)", [("a:1.5.5", 1.1)]),
        ("(a:.)", [("a:.", 1.1)]),
    ],
)
def test_what_others_crash_on_stays_text(text, expected):
    assert weighted(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a BREAK b", [Segment("a"), Segment("b", 1.0, True)]),
        ("a\n BREAK\tb", [Segment("a"), Segment("b", 1.0, True)]),
        ("(a BREAK b:1.3)", [Segment("a", 1.3), Segment("b", 1.3, True)]),
        ("a BREAK BREAK b", [Segment("a"), Segment("", 1.0, True), Segment("b", 1.0, True)]),
        ("BREAK a", [Segment("a", 1.0, True)]),
        ("a BREAK", [Segment("a")]),
        ("a BREAK (b)", [Segment("a"), Segment("b", 1.1, True)]),
        ("BREAKFAST break unBREAK", [Segment("BREAKFAST break unBREAK")]),
    ],
)
def test_break_is_structure_at_any_depth(text, expected):
    found = [Segment(one.text, round(one.weight, 9), one.starts_chunk) for one in parse(text)]
    assert found == expected


def test_brackets_beyond_the_depth_are_text_and_so_are_their_ends():
    depth = MAX_DEPTH + 3
    (segment,) = parse("[" * depth + "a" + "]" * depth + "b")[:-1]
    assert segment.text == "[[[a]]]"
    assert parse("(" * depth + "a" + ")" * depth + "b")[-1] == Segment("b")


@pytest.mark.parametrize(
    "text", ["(a:1e9)", "(a:99999999)", "(a:-99999999)", "(" * 64 + "a", "(" * 60 + "a:1000)" * 60]
)
def test_weights_stay_within_bounds(text):
    assert all(abs(segment.weight) <= MAX_WEIGHT for segment in parse(text))
    assert all(math.isfinite(segment.weight) for segment in parse("(" * 64 + "a" + ":9e9)" * 64))


def test_a_number_of_any_length_is_a_bounded_weight():
    assert weighted(f"(a:{'9' * 5000})") == [("a", MAX_WEIGHT)]


@pytest.mark.parametrize(
    "pattern", ["(a:", "[", "(", ")", " ", ":1", "1", "\\", "(a)[b]", "BREAK "]
)
@pytest.mark.parametrize("before", ["", "(" * 63 + "(a:"])
def test_work_is_linear(pattern, before):
    assert growth(lambda text: parse(before + text + "BREAK"), pattern) < LINEAR


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\<lora:a>", [("<lora:a>", 1.0)]),
        (r"(a\:1.5)", [("a:1.5", 1.1)]),
        (r"[a\:b\|c]", [("a:b|c", 0.9091)]),
    ],
)
def test_signs_of_other_notations_are_written_the_same_way(text, expected):
    assert weighted(text) == expected


def test_emphasis_can_be_ignored_or_be_text():
    assert parse("(a:1.5) [b] BREAK c", "ignore") == (Segment("a b"), Segment("c", 1.0, True))
    assert parse(r"(a:1.5) BREAK \(b\)", "none") == (Segment(r"(a:1.5) BREAK \(b\)"),)
    assert parse("", "none") == ()
    assert parse("(a:1.5)", "no_norm") == parse("(a:1.5)") == (Segment("a", 1.5),)


@given(st.text(alphabet="()[]:|\\.0-9a BREAK,<>", max_size=400))
def test_any_text_parses_and_no_letter_is_lost(text):
    segments = parse(text)
    assert segments == parse(text)
    assert all(math.isfinite(segment.weight) for segment in segments)
    kept = "".join(segment.text for segment in segments)
    plain = text.replace("BREAK", "")
    for letter in "a9|<,":
        assert kept.count(letter) <= plain.count(letter) + text.count("BREAK")
    if not set(text) & set("()[]:\\") and "BREAK" not in text:
        assert kept == text
