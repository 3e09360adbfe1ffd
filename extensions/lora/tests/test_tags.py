"""Tags in the prompt and rows of the mixer say the same, whichever side is edited."""

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from extensions.lora.rows import Row
from extensions.lora.tags import (
    reconcile,
    rows_of,
    tag_text,
    to_prompt,
    to_rows,
    unread,
    unused,
    with_words,
    without_tags,
)

weights = st.integers(-1000, 1000).map(lambda number: number / 100)
shares = st.integers(0, 100).map(lambda number: number / 100)
names = st.sampled_from(("ink", "Ink", "a/b c", "wash-2", "x.y", "3"))
curves = st.lists(st.tuples(shares, weights), max_size=4, unique_by=lambda point: point[0]).map(
    lambda points: tuple(sorted(points))
)


@st.composite
def rows(draw: st.DrawFn, on: bool | None = None) -> Row:
    start, end = sorted((draw(shares), draw(shares)))
    weight = draw(weights)
    te = draw(st.none() | weights)
    return Row(
        name=draw(names),
        kind=draw(st.sampled_from(("lora", "blend"))),
        on=draw(st.booleans()) if on is None else on,
        weight=weight,
        te=None if te == weight else te,
        blocks=draw(st.dictionaries(st.sampled_from(("in", "mid", "out", "in0", "out11", "base")), weights, max_size=3)),
        start=start,
        end=end,
        curve=draw(curves),
        triggers=draw(st.booleans()),
        pictures=tuple(draw(st.lists(st.integers(0, 9), max_size=2))),
    )  # fmt: skip


calmly = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
texts = st.text("ab, \n(:1)<>#\\", max_size=12)
prompts = st.lists(texts | rows().map(tag_text), max_size=4).map("".join)


@pytest.mark.parametrize(
    ("tag", "row"),
    [
        ("<lora:ink>", Row(name="ink")),
        ("<lora:ink:.8>", Row(name="ink", weight=0.8)),
        ("<lora:ink: 0.8 >", Row(name="ink", weight=0.8)),
        ("<LoRA:ink:-1>", Row(name="ink", weight=-1)),
        ("<lyco:ink:0.5>", Row(name="ink", weight=0.5)),
        ("<lora:ink:0.5:0.8>", Row(name="ink", weight=0.8, te=0.5)),
        ("<lora:ink:te=0.5:unet=0.8>", Row(name="ink", weight=0.8, te=0.5)),
        ("<lora:ink:0.8:te=0.2>", Row(name="ink", weight=0.8, te=0.2)),
        ("<lora:ink:1:1:8>", Row(name="ink")),
        ("<lora:a/b c:0.3>", Row(name="a/b c", weight=0.3)),
        (
            "<lora:ink:0.8:in=0:out1=0.5>",
            Row(name="ink", weight=0.8, blocks={"in": 0, "out1": 0.5}),
        ),
        ("<lora:ink:1:start=0.5:end=0.9>", Row(name="ink", start=0.5, end=0.9)),
        ("<lora:ink:1:curve=0@0;1@0.5>", Row(name="ink", curve=((0, 0), (0.5, 1)))),
        ("<blend:moon:0.8>", Row(name="moon", kind="blend", weight=0.8)),
    ],
)
def test_what_a_tag_says(tag: str, row: Row) -> None:
    assert rows_of(f"a cat {tag}, red") == (row,)
    assert without_tags(f"a cat {tag}, red") == "a cat , red"
    assert rows_of(tag_text(row)) == (row,)
    assert unread(tag) in ((), ("8",))


@pytest.mark.parametrize(
    "prompt",
    [
        r"\<lora:ink:1>",
        "a # <lora:ink:1>",
        "<lora:ink",
        "<lora:>",
        "<hypernet:ink:1>",
        "lora:ink:1",
    ],
)
def test_what_is_no_tag(prompt: str) -> None:
    assert rows_of(prompt) == ()
    assert without_tags(prompt) == prompt


def test_what_cannot_be_read_is_told() -> None:
    assert unread("<lora:ink:50>") == ("<lora:ink:50>",)
    assert unread("<lora:ink:1:lbw=XYZ:dyn=3>") == ("lbw=XYZ", "dyn=3")
    assert unread("<lora:ink:1:te=many>") == ("te=many",)


@calmly
@given(prompts)
def test_reading_a_prompt_and_writing_it_again_changes_no_letter(prompt: str) -> None:
    assert to_prompt(prompt, to_rows(prompt)) == prompt


@calmly
@given(prompts, st.lists(rows(), max_size=3))
def test_edited_rows_are_what_the_prompt_then_says(prompt: str, mixer: list[Row]) -> None:
    written = to_prompt(prompt, mixer)
    assert to_rows(written, mixer) == tuple(mixer)
    assert to_prompt(written, mixer) == written


@calmly
@example("1 <lora:ink:0:end=0>,", "")
@given(prompts, prompts)
def test_words_survive_whatever_is_mixed(prompt: str, other: str) -> None:
    """What the text encoder reads loses no word when rows come and go; only spaces beside tags do."""
    written = to_prompt(prompt, rows_of(other))
    assert _words(without_tags(written)) == _words(without_tags(prompt))


def _words(text: str) -> list[str]:
    """Words and signs: a space before a comma may go with the tag that stood between them."""
    return re.findall(r"\w+|[^\w\s]", text)


def test_what_goes_unused_is_told_with_its_tag() -> None:
    prompt = "a <lora:ink:abc> <lora:ink:0.5:lbw=X:dyn=3> <lora:ink:99> <lora:ink:1>"
    first, second = "<lora:ink:abc>", "<lora:ink:0.5:lbw=X:dyn=3>"
    assert unused(prompt) == ((first, "abc"), (second, "lbw=X"), (second, "dyn=3"))
    assert unread(prompt) == ("abc", "lbw=X", "dyn=3", "<lora:ink:99>")


def test_tags_keep_their_places() -> None:
    prompt = "a <lora:ink:0.8> cat, <lora:wash> red"
    ink, wash = rows_of(prompt)
    louder = ink.model_copy(update={"weight": 1.2})
    assert to_prompt(prompt, [louder, wash]) == "a <lora:ink:1.2> cat, <lora:wash> red"
    assert to_prompt(prompt, [wash, ink]) == "a <lora:wash> cat, <lora:ink:0.8> red"
    assert to_prompt(prompt, [wash]) == "a cat, <lora:wash> red"
    assert to_prompt(prompt, [ink, wash, Row(name="new")]) == f"{prompt} <lora:new>"
    assert to_prompt("a cat # note", [ink]) == "a cat # note\n<lora:ink:0.8>"


def test_a_row_that_is_off_keeps_its_place_and_has_no_tag() -> None:
    off = Row(name="wash", on=False, weight=0.4)
    mixer = (Row(name="ink"), off, Row(name="glow"))
    prompt = to_prompt("a cat", mixer)
    assert prompt == "a cat <lora:ink> <lora:glow>"
    assert to_rows(prompt, mixer) == mixer
    assert to_rows(prompt.replace("<lora:ink>", "<lora:ink:2>"), mixer) == (
        Row(name="ink", weight=2), off, Row(name="glow"),
    )  # fmt: skip
    assert to_rows("a cat <lora:glow>", mixer) == (off, Row(name="glow"))


def test_where_both_say_something_the_prompt_holds() -> None:
    mixer = [
        Row(name="ink", weight=0.3, pictures=(1,)),
        Row(name="glow"),
        Row(name="off", on=False),
    ]
    assert reconcile("<lora:ink:0.8> <lora:new>", mixer) == (
        Row(name="ink", weight=0.8, pictures=(1,)), Row(name="new"), Row(name="glow"),
    )  # fmt: skip


def test_the_same_lora_twice_is_two_rows() -> None:
    prompt = "<lora:ink:0.2> <lora:ink:0.5:start=0.5>"
    first, second = rows_of(prompt)
    assert reconcile(prompt, [first, second]) == (first, second)
    assert to_prompt(prompt, [first]) == "<lora:ink:0.2>"


def test_trigger_words_come_and_go() -> None:
    prompt = "a cat <lora:ink>"
    with_them = with_words(prompt, ["ink outline", "bold"], True)
    assert with_them == "a cat, ink outline, bold <lora:ink>"
    assert with_words(with_them, ["ink outline", "bold"], True) == with_them
    assert with_words(with_them, ["ink outline", "bold"], False) == prompt
    assert with_words("an inkwell", ["ink"], True) == "an inkwell, ink"
    assert with_words("", ["ink"], True) == "ink"
