"""Tags of extra networks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.diffusion.prompts.networks import Tag, extract, tags_of, unknown
from tests.diffusion.prompts.growth import LINEAR, growth


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<lora:name>", Tag("lora", ("name",))),
        ("<lora:name:0.8>", Tag("lora", ("name", "0.8"))),
        ("<lora:name:0.8:0.5>", Tag("lora", ("name", "0.8", "0.5"))),
        ("<lora:name:0.8:0.5:16>", Tag("lora", ("name", "0.8", "0.5", "16"))),
        (
            "<lora:name:te=0.5:unet=1:dyn=8>",
            Tag("lora", ("name",), {"te": "0.5", "unet": "1", "dyn": "8"}),
        ),
        ("<lyco:a b>", Tag("lyco", ("a b",))),
        ("<hypernet:name:0.5>", Tag("hypernet", ("name", "0.5"))),
        ("<LoRA: name : 0.8 >", Tag("lora", ("name", "0.8"))),
        ("<lora:a=b:1>", Tag("lora", ("a=b", "1"))),
        ("<lora:a<b>", Tag("lora", ("a<b",))),
    ],
)
def test_each_form(text, tag):
    assert extract(f"a {text} cat") == ("a  cat", (tag,))


@pytest.mark.parametrize(
    "text", ["a < b > c", "<lora>", "<lora:>", "<:a>", "<lora:name", "<lo ra:a>", r"\<lora:name>"]
)
def test_what_is_no_tag_stays(text):
    assert extract(text) == (text, ())


def test_tags_come_in_order_and_spaces_stay():
    text, tags = extract("a <lora:b> c<lora:d>, <lora:e><lora:f:1>")
    assert text == "a  c, "
    assert [tag.arguments[0] for tag in tags] == ["b", "d", "e", "f"]


def test_every_prompt_of_a_batch_has_its_own():
    first, second, third = tags_of(["a <lora:one:1>", "b # <lora:none:1>", "c <lora:two:2>"])
    assert [str(tag) for tag in first] == ["<lora:one:1>"]
    assert second == ()
    assert [str(tag) for tag in third] == ["<lora:two:2>"]


def test_kinds_that_nobody_knows_are_named():
    _, tags = extract("<lora:a><wizard:b:1:x=2>")
    assert [str(tag) for tag in unknown(tags, {"lora"})] == ["<wizard:b:1:x=2>"]


@given(st.text(alphabet="<>:=\\ab ", max_size=80))
def test_no_letter_outside_a_tag_is_lost(text):
    rest, tags = extract(text)
    assert rest.count("a") + sum(str(tag).count("a") for tag in tags) <= text.count("a")
    if not tags:
        assert rest == text


@pytest.mark.parametrize(
    "pattern", ["<lora:", "<", "<a:b>", "<a:", "<" + "a" * 99, "<a:>", "\\<a:"]
)
def test_work_is_linear(pattern):
    assert growth(extract, pattern) < LINEAR
