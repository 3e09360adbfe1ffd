"""What presets make of a person's words."""

import pytest

from extensions.styles.presets import Preset
from extensions.styles.weave import Chosen, parse, spell, woven
from modules.errors import UserError

PRESETS = {
    "Oil": Preset(name="Oil", prompt="oil painting of {prompt}, thick paint", negative="photo"),
    "Soft": Preset(name="Soft", prompt="soft light", negative="hard {prompt}, harsh"),
    "Only": Preset(name="Only", negative="ugly"),
    "Ink": Preset(name="Ink", prompt="{prompt}, ink <lora:ink:0.8> <blend:moon>"),
}


@pytest.mark.parametrize(
    "names, prompt, wanted",
    [
        ("", "a cat", "a cat"),
        ("Oil", "a cat", "oil painting of a cat, thick paint"),
        ("Oil:0.5", "a cat", "(oil painting of:0.5), a cat, (thick paint:0.5)"),
        ("Oil:0", "a cat", "a cat"),
        ("Soft", "a cat", "a cat, soft light"),
        ("Soft:1.4", "a cat", "a cat, (soft light:1.4)"),
        ("Oil, Soft", "a cat", "oil painting of a cat, thick paint, soft light"),
        ("Soft, Oil", "a cat", "oil painting of a cat, soft light, thick paint"),
        ("Only", "a cat", "a cat"),
        ("Ink", "a cat", "a cat, ink <lora:ink:0.8> <blend:moon>"),
        ("Ink:0.5", "a cat", "a cat, (ink:0.5) <lora:ink:0.4> <blend:moon:0.5>"),
        ("Oil", "", "oil painting of, thick paint"),
        ("Soft", "", "soft light"),
    ],
)
def test_the_prompt(names: str, prompt: str, wanted: str):
    assert woven(prompt, "", parse(names), PRESETS.__getitem__)[0] == wanted


def test_the_negative_prompt():
    found = woven("a cat", "blurry", parse("Oil, Soft, Only:0.5"), PRESETS.__getitem__)
    assert found[1] == "hard blurry, photo, harsh, (ugly:0.5)"


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("", ()),
        (" , ", ()),
        ("Oil", (Chosen("Oil"),)),
        ("Oil painting : 0.8,Anime", (Chosen("Oil painting", 0.8), Chosen("Anime"))),
        ("Pocket: flat icon", (Chosen("Pocket: flat icon"),)),
        ("Pocket: flat icon:1.5", (Chosen("Pocket: flat icon", 1.5),)),
        ("油画:0.5", (Chosen("油画", 0.5),)),
    ],
)
def test_names(text: str, wanted: tuple[Chosen, ...]):
    assert parse(text) == wanted
    assert parse(spell(wanted)) == wanted


@pytest.mark.parametrize(
    "text, words", [("Oil:3", "0 to 2"), (",".join("abcdefghijklmnopqrstu"), "too many")]
)
def test_what_is_wrong_is_said(text: str, words: str):
    with pytest.raises(UserError, match=words):
        parse(text)
