r"""Prompts that change on the way. The first tables are what other programs' prompts rely on, form by form."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.diffusion.prompts.schedule import MAX_DEPTH, Pass, schedule
from tests.diffusion.prompts.growth import LINEAR, growth


def said(text, steps=10, **of_pass):
    return [(one.last_step, one.text) for one in schedule(text, Pass(steps, **of_pass))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [b:0.5]", [(5, "a "), (10, "a b")]),
        ("a [b:5]", [(5, "a "), (10, "a b")]),
        ("a [b: 5 ]", [(5, "a "), (10, "a b")]),
        ("a [b::3] c", [(3, "a b c"), (10, "a  c")]),
        ("a [ b : c :3] d", [(3, "a  b  d"), (10, "a  c  d")]),
        ("[a:b:0]", [(10, "b")]),
        ("[a:b:-1]", [(10, "b")]),
        ("[a:b:1]", [(1, "a"), (10, "b")]),
        ("[a:b:.25]", [(2, "a"), (10, "b")]),
        ("[a:b:1.0]", [(10, "a")]),
        ("[a:b:99]", [(10, "a")]),
        ("(a [b:c:2]:1.2)", [(2, "(a b:1.2)"), (10, "(a c:1.2)")]),
        ("[(a:1.2):(b:0.8):2]", [(2, "(a:1.2)"), (10, "(b:0.8)")]),
        ("[a:b:2] [c:d:4]", [(2, "a c"), (4, "b c"), (10, "b d")]),
    ],
)
def test_changes(text, expected):
    assert said(text) == expected


def test_changes_nest():
    assert said("[[a:b:2]:c:4]", 6) == [(2, "a"), (4, "b"), (6, "c")]
    assert said("[a:[b:c:4]:2]", 6) == [(2, "a"), (4, "b"), (6, "c")]


@pytest.mark.parametrize(
    "text",
    [
        "[a:b:c:2]",
        "[a:b:50%]",
        "[a|b:3]",
        "[a:b|c:2]",
        "[a:b]",
        "[a]",
        "[a:b:1.5.5]",
        "[a:b:]",
        r"\[a:b:2\]",
        r"[a\:b]",
        "a [b:3",
        "a b:3]",
        "(a [b) c:3]",
        "a | b : c",
        "a [{b|d{:.5] c",
    ],
)
def test_what_is_no_form_stays_as_it_is(text):
    assert said(text) == [(10, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("a | [b:c:5]", [(5, "a | b"), (10, "a | c")]),
        ("[a (b|c):d:5]", [(5, "a (b|c)"), (10, "d")]),
        ("[(a:1.2:1.3):b:5]", [(5, "(a:1.2:1.3)"), (10, "b")]),
        ("[a ):b:5]", [(5, "a )"), (10, "b")]),
        ("[a (:b:5]", [(5, "a ("), (10, "b")]),
        (r"[a\:b:c:5]", [(5, r"a\:b"), (10, "c")]),
        ("[x:[a:b:5]:c:d]", [(5, "[x:a:c:d]"), (10, "[x:b:c:d]")]),
    ],
)
def test_brackets_that_fit_nothing_do_not_spoil_the_rest(text, expected):
    assert said(text) == expected


def test_alternatives_take_turns():
    assert [one for _, one in said("[a|b|c]", 7)] == ["a", "b", "c", "a", "b", "c", "a"]
    assert [one for _, one in said("[fe|]male", 4)] == ["female", "male", "female", "male"]
    assert said("[a|||]", 6) == [(1, "a"), (4, ""), (5, "a"), (6, "")]
    assert [one for _, one in said("[a|(b:1.1)]", 2)] == ["a", "(b:1.1)"]
    assert said("[a|a] b", 10) == [(10, "a b")]


def test_alternatives_and_changes_nest():
    assert said("[[a|b]:c:2] d", 4) == [(1, "a d"), (2, "b d"), (4, "c d")]
    assert [one for _, one in said("[a|[b|c]]", 4)] == ["a", "c", "a", "c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a:b:1.5]", [(10, "a"), (20, "b")]),
        ("[a:b:25]", [(5, "a"), (20, "b")]),
        ("[a:b:0.5]", [(20, "b")]),
        ("[a:b:20]", [(20, "b")]),
        ("[a:b:2.0]", [(20, "a")]),
        ("[a:b:1.0]", [(20, "b")]),
        ("[x:1.1]", [(2, ""), (20, "x")]),
    ],
)
def test_in_the_second_pass_shares_go_on_and_steps_are_counted_on(text, expected):
    assert said(text, 20, first_pass_steps=20) == expected


def test_a_share_of_a_second_pass_that_there_is_not_loses_no_text():
    assert said("[x:1.1]", hires_follows=True) == [(10, "")]
    assert said("a [x:1.1] b") == [(10, "a [x:1.1] b")]
    assert said("[x:1.0]") == [(10, "[x:1.0]")]
    assert said("[y:x:1.1]") == [(10, "y")]


def test_numbers_of_any_length_are_numbers():
    assert said(f"[a:b:{'9' * 5000}]") == [(10, "a")]
    assert said(f"[a:b:-{'9' * 5000}.0]") == [(10, "b")]


def test_beyond_the_depth_brackets_are_text():
    depth = MAX_DEPTH + 2
    assert said("(" * depth + "[a:b:5]" + ")" * depth) == [
        (10, "(" * depth + "[a:b:5]" + ")" * depth)
    ]
    inner = MAX_DEPTH - 1
    assert len(said("(" * inner + "[a:b:5]" + ")" * inner)) == 2


@given(st.text(alphabet="[]():|\\a1.5- ", max_size=60), st.integers(1, 12))
def test_any_text_is_read_and_letters_are_neither_made_nor_moved(text, steps):
    found = schedule(text, Pass(steps))
    assert [one.last_step for one in found] == sorted({one.last_step for one in found})
    assert found[-1].last_step == steps
    assert all(one.text != other.text for one, other in pairwise(found))
    for one in found:
        letters = iter(text)
        assert all(sign in letters for sign in one.text)  # in order, with some left out


@given(st.text(alphabet="a(b):, <", max_size=60))
def test_without_square_brackets_nothing_changes(text):
    assert said(text) == [(10, text)]


@pytest.mark.parametrize(
    "pattern",
    ["(a:", "[a:", "[", "(", "[]", "[a|b]", "[a:b:5]", ":", "|", "\\[", "([", "[(", ")]", "1", " "],
)
def test_work_is_linear(pattern):
    deep = "[x:" + "([" * 20, "])" * 20

    def read(text):
        return schedule(deep[0] + text + deep[1], Pass(2))

    assert growth(read, pattern) < LINEAR
