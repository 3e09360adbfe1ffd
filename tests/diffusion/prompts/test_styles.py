"""Styles put around prompts, and found in them again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.diffusion.prompts import comments
from modules.diffusion.prompts.styles import Style, apply, detect
from modules.errors import LimitError
from tests.diffusion.prompts.growth import LINEAR, growth


@pytest.mark.parametrize(
    ("prompt", "texts", "expected"),
    [
        ("a cat", [], "a cat"),
        ("a cat", ["best"], "a cat, best"),
        ("a cat", ["best", "4k"], "a cat, best, 4k"),
        ("", ["best"], "best"),
        ("a cat", [""], "a cat"),
        ("a cat", ["photo of {prompt}, best"], "photo of a cat, best"),
        ("a cat", ["{prompt} and {prompt}"], "a cat and a cat"),
        ("a cat", ["big {prompt}", "best", "<{prompt}>"], "<big a cat, best>"),
        ("{prompt}", ["a {prompt} b"], "a {prompt} b"),
    ],
)
def test_styles_go_around_or_after(prompt, texts, expected):
    assert apply(prompt, texts) == expected


def test_a_comment_at_the_end_of_the_prompt_does_not_swallow_the_style():
    for text in ("best", "{prompt}, best"):
        assert "best" in comments.strip(apply("a cat # mine", [text]))
    assert "4k" in comments.strip(apply("a cat", ["best # note", "4k"]))


def test_styles_that_double_the_prompt_are_stopped():
    with pytest.raises(LimitError, match="at most 1000000"):
        apply("a cat", ["{prompt} {prompt}"] * 60)


STYLES = (
    Style("Photo", "photo of {prompt}, 35mm", "drawing"),
    Style("Best", "best quality"),
    Style("Clean", "", "text, watermark"),
    Style("Twice", "{prompt} / {prompt}"),
    Style("Nothing"),
)


def test_applied_styles_are_found_again():
    prompt = apply("a cat", ["photo of {prompt}, 35mm", "best quality"])
    negative = apply("ugly", ["drawing", "text, watermark"])
    first, second, names = detect(prompt, negative, STYLES)
    assert (first, second, names[0]) == ("a cat", "ugly", "Photo")
    assert set(names[1:]) == {"Best", "Clean"}  # one changes this prompt, the other that one
    for order in (("Best", "Fine"), ("Fine", "Best")):
        known = (Style("Best", "best quality"), Style("Fine", "fine"))
        texts = [next(style.prompt for style in known if style.name == name) for name in order]
        assert detect(apply("a", texts), "", known) == ("a", "", order)
    assert detect("best quality", "", STYLES) == ("", "", ("Best",))
    assert detect("a / a", "", STYLES) == ("a", "", ("Twice",))


def test_half_a_style_is_none():
    assert detect("photo of a cat, 35mm", "", STYLES) == ("photo of a cat, 35mm", "", ())
    assert detect("not best quality", "", STYLES) == ("not best quality", "", ())
    assert detect("a / b", "", STYLES) == ("a / b", "", ())
    assert detect("", "", STYLES) == ("", "", ())


@given(
    st.text(alphabet="ab ,/", min_size=1, max_size=9),
    st.text(alphabet="xyz ", max_size=9),
    st.lists(st.sampled_from(STYLES[:3]), max_size=3, unique=True),
)
def test_what_is_found_gives_the_prompt_when_applied_again(prompt, negative, styles):
    whole = apply(prompt, [style.prompt for style in styles])
    avoided = apply(negative, [style.negative_prompt for style in styles])
    rest, rest_negative, names = detect(whole, avoided, STYLES)
    chosen = {style.name: style for style in STYLES}
    again = apply(rest, [chosen[name].prompt for name in names])
    again_negative = apply(rest_negative, [chosen[name].negative_prompt for name in names])
    assert again.split() == whole.split()
    assert again_negative.split() == avoided.split()
    assert len(names) >= len([style for style in styles if style.name == "Best"])


@pytest.mark.parametrize("pattern", ["{prompt}", "a", ", ", "\\"])
def test_work_is_linear(pattern):
    assert growth(lambda text: apply("a", [text]), pattern) < LINEAR
