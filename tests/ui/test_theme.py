"""Every pair of text and ground that the page uses can be read: WCAG AA, and 3:1 for edges of controls."""

import re

import pytest

from modules.ui.theme import DARK, LIGHT, NoisetteTheme, css_variables

TEXT_ON = [
    ("text", "ground"), ("text", "surface"), ("text", "sunken"), ("text", "accent_soft"),
    ("muted", "ground"), ("muted", "surface"), ("muted", "sunken"),
    ("accent", "ground"), ("accent", "surface"), ("accent_strong", "surface"),
    ("on_accent", "accent"), ("on_accent", "accent_strong"),
    ("danger", "surface"), ("danger", "ground"), ("danger", "danger_soft"), ("text", "danger_soft"),
    ("good", "surface"), ("good", "sunken"),
]  # fmt: skip
EDGES = [("edge", "surface"), ("edge", "ground"), ("accent", "line"), ("accent", "sunken")]


def luminance(colour: str) -> float:
    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[at : at + 2]) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("pair", TEXT_ON, ids=lambda pair: f"{pair[0]} on {pair[1]}")
def test_text_can_be_read(palette: dict[str, str], pair: tuple[str, str]):
    assert contrast(palette[pair[0]], palette[pair[1]]) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("pair", EDGES, ids=lambda pair: f"{pair[0]} on {pair[1]}")
def test_controls_can_be_seen(palette: dict[str, str], pair: tuple[str, str]):
    assert contrast(palette[pair[0]], palette[pair[1]]) >= 3


def test_light_and_dark_have_the_same_colours():
    assert LIGHT.keys() == DARK.keys()
    assert "--nz-accent-soft" in css_variables()


def test_the_theme_fetches_nothing():
    theme = NoisetteTheme()
    assert theme._stylesheets == []
    found = re.findall(r"url\(.{6}", theme._get_theme_css())
    assert set(found) <= {'url("data:'}
