"""Comments in prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.diffusion.prompts.comments import ends_open, strip
from tests.diffusion.prompts.growth import LINEAR, growth


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", "a cat"),
        ("a cat # black", "a cat "),
        ("a # b\nc # d\ne", "a \nc \ne"),
        ("# all of it", ""),
        ("#a\n#b", "\n"),
        (r"a \# 1", "a # 1"),
        (r"a \\# 1", r"a \\"),
        (r"\(a\) # b", r"\(a\) "),
        ("a\\", "a\\"),
    ],
)
def test_a_comment_goes_to_the_end_of_its_line(text, expected):
    assert strip(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", False), ("a # b", True), ("a # b\n", False), (r"a \# b", False), ("#", True)],
)
def test_it_is_known_whether_the_last_line_is_a_comment(text, expected):
    assert ends_open(text) is expected


@given(st.text(alphabet="a#\\\n ", max_size=60), st.text(alphabet="b ", max_size=9))
def test_what_is_put_after_is_lost_where_the_text_ends_in_a_comment(text, more):
    lost = strip(text + more) == strip(text)
    assert not ends_open(text) or lost
    # A backslash at the end would take the next sign with it, but loses nothing.
    assert ends_open(text) or strip(text + "\n" + more).endswith(more)


@pytest.mark.parametrize("pattern", ["#", "\\", "a#\n", "\\#"])
def test_work_is_linear(pattern):
    assert growth(strip, pattern) < LINEAR
