"""The frame is as wide as asked, the text is there and fits, and the picture itself is left alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy
import pytest
from PIL import Image

from modules.errors import ExtensionError, UserError
from modules.plugins.manager import Plugins
from modules.schema import GenerationRequest

EXTENSIONS = Path(__file__).parents[2]
PICTURE = Image.effect_noise((200, 100), 80).convert("RGB")


assert gr  # imported here: it takes its time, and a part of an extension may not


@pytest.fixture(scope="module")
def plugins() -> Iterator[Plugins]:
    loaded = Plugins.load(EXTENSIONS)
    yield loaded
    loaded.close()


def frame(plugins: Plugins, image: Image.Image = PICTURE, **options: Any) -> Image.Image:
    request = GenerationRequest(
        prompt="a red cat", seed=41, model="pocket", extras={"frame": {"enabled": True, **options}}
    )
    (finisher,) = plugins.finishers_for(plugins.check(request))
    return finisher.finish(image, request, 1)


def test_border_in_per_cent_of_the_shorter_side(plugins: Plugins) -> None:
    found = frame(plugins, width=10, colour="#102030")
    assert found.size == (220, 120)
    assert found.getpixel((0, 0)) == (0x10, 0x20, 0x30)
    assert found.crop((10, 10, 210, 110)).tobytes() == PICTURE.tobytes()


def test_no_border_no_text_no_change(plugins: Plugins) -> None:
    assert frame(plugins, width=0).tobytes() == PICTURE.tobytes()


def test_the_text_stands_below(plugins: Plugins) -> None:
    without = frame(plugins, colour="#ffffff")
    seeds = [frame(plugins, colour="#ffffff", text=text) for text in ("{seed}", "42", "41")]
    assert seeds[0].height > without.height
    assert seeds[0].tobytes() == seeds[1].tobytes()  # the second picture of seed 41
    assert seeds[0].tobytes() != seeds[2].tobytes()


@pytest.mark.parametrize(("colour", "dark"), [("#ffffff", True), ("#000000", False)])
def test_the_text_can_be_read(plugins: Plugins, colour: str, dark: bool) -> None:
    large = PICTURE.resize((800, 400))
    below = numpy.asarray(frame(plugins, large, colour=colour, text="HHHH"))[420:]
    assert (below.min() < 60) if dark else (below.max() > 200)


def test_a_long_text_is_shortened(plugins: Plugins) -> None:
    found = numpy.asarray(frame(plugins, width=5, colour="#ffffff", text="wide " * 40))[106:]
    columns = numpy.flatnonzero((found < 128).any(axis=(0, 2)))
    assert columns.min() >= 5 and columns.max() < 205


def test_braces_in_a_prompt_are_left_alone(plugins: Plugins) -> None:
    request = GenerationRequest(
        prompt="{seed}", seed=1, extras={"frame": {"enabled": True, "text": "{prompt}"}}
    )
    (finisher,) = plugins.finishers_for(plugins.check(request))
    other = request.replace(prompt="7")
    assert (
        finisher.finish(PICTURE, request, 0).tobytes()
        != finisher.finish(PICTURE, other, 0).tobytes()
    )


def test_a_colour_that_is_none_is_refused_before_the_job(plugins: Plugins) -> None:
    with pytest.raises(UserError, match="colour is 'reddish'"):
        frame(plugins, colour="reddish")


def test_the_tabs_function(plugins: Plugins) -> None:
    act = plugins.part("frame", "panel:frame_it")
    assert act(PICTURE, 10, "#ffffff", "").size == (220, 120)
    with pytest.raises(UserError, match="Choose a picture"):
        act(None, 10, "#ffffff", "")
    with pytest.raises(UserError, match="is no colour"):
        act(PICTURE, 10, "nonsense", "")


def test_both_languages(plugins: Plugins) -> None:
    act = plugins.part("frame", "panel:frame_it")
    with pytest.raises(UserError) as caught:
        act(None, 10, "#ffffff", "")
    assert caught.value.message("zh") == "请先选择图片。"
    assert isinstance(caught.value, UserError) and not isinstance(caught.value, ExtensionError)
