"""From and to other programs' files."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extensions.styles.exchange import read, to_csv, to_json
from extensions.styles.presets import Preset
from modules.errors import UserError

CSV = """\ufeffname,prompt,negative_prompt
None,,
--- heading ---,,
Oil,"oil painting of {prompt}, thick",photo
"With ""quotes"" and
a line","a
b",
"""


def test_a1111s_file():
    assert read(CSV) == (
        Preset(name="Oil", prompt="oil painting of {prompt}, thick", negative="photo"),
        Preset(name='With "quotes" and a line', prompt="a\nb"),
    )


def test_columns_in_another_order_and_without_negatives():
    assert read("prompt,name\nx,y\n") == (Preset(name="y", prompt="x"),)


@pytest.mark.parametrize(
    "data",
    [
        [{"name": "A", "prompt": "x", "negative_prompt": "y"}],
        [{"name": "A", "prompt": "x", "negative": "y", "thumbnail": "unknown keys are left"}],
        {"styles": [{"name": "A", "prompt": "x", "negative": "y"}]},
        {"A": {"prompt": "x", "negative_prompt": "y"}},
    ],
)
def test_json_lists(data: object):
    assert read(json.dumps(data)) == (Preset(name="A", prompt="x", negative="y"),)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no styles.csv"),
        ("just a text", "no styles.csv"),
        ("name,prompt,negative_prompt\n", "no preset"),
        ('name,prompt\n"a,b\n', "no CSV"),
        ("name,prompt\n" + "x" * 81 + ",y\n", "line 2.*80"),
        ("[", "no JSON"),
        ("[1]", "preset 1: it has no name"),
        ('[{"name": "a", "prompt": 3}]', "preset 1.*prompt"),
        ('[{"name": "a", "prompt": "x", "parameters": {"steps": -1}}]', "cannot be"),
        ("[" * 100_000, "no JSON"),
        ("x" * 5_000_001, "larger"),
    ],
)
def test_what_is_malformed_is_said(text: str, words: str):
    with pytest.raises(UserError, match=f"(?s){words}") as caught:
        read(text)
    assert caught.value.message("zh") != str(caught.value)


NAMES = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters=","), min_size=1, max_size=20
).filter(lambda name: name.casefold() != "none")
TEXTS = st.text(st.characters(exclude_categories=("C",), exclude_characters="\r"), max_size=40)


@given(
    st.lists(
        st.builds(Preset, name=NAMES, prompt=TEXTS, negative=TEXTS),
        max_size=4,
        unique_by=lambda p: p.name.casefold(),
    )
)
def test_what_is_written_is_read_back(presets: list[Preset]):
    whole = [each for each in presets if each.prompt or each.negative]
    if not whole:
        return
    assert list(read(to_csv(whole))) == whole
    assert list(read(to_json(whole))) == whole
