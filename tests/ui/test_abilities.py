"""What is greyed out is what the family's flags say, and lists offer what the chosen model can use."""

import dataclasses
from pathlib import Path

import pytest

from modules.diffusion.capabilities import CAPABILITIES, Capabilities
from modules.schema import ModelCard
from modules.ui import abilities, choices
from modules.ui.abilities import unable
from modules.ui.bind import MODES
from modules.ui.fields import Tab

TAB = Tab("img2img")
FIELDS = (
    "prompt", "negative_prompt", "sampler", "steps", "hires__enabled", "hires__scale",
    "sampler_options__eta", "guidance__rescale", "refiner__model", "freeu__enabled", "cfg_scale",
)  # fmt: skip


def card(family: str, name: str = "m") -> ModelCard:
    return ModelCard(name=name, title=name, family=family, path=Path(name), size_bytes=0)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "a family of tomorrow"])
def test_what_can_do_all_has_nothing_greyed_out(family: str):
    found = unable(card(family), FIELDS, TAB, ("freeu",))
    assert (found.fields, found.elements, found.modes) == ((), (), ())


def test_what_a_family_cannot_do_is_greyed_out_and_left_out():
    found = unable(card("flux1"), FIELDS, TAB, ("freeu",))
    assert set(FIELDS) - set(found.fields) == {"prompt", "steps", "cfg_scale"}
    assert {"nz-img2img-hires", "nz-img2img-sampler", "nz-img2img-panel-freeu"} < set(
        found.elements
    )
    assert set(found.modes) == set(MODES)


def test_every_row_names_a_flag_and_real_fields():
    flags = {field.name for field in dataclasses.fields(Capabilities)}
    assert {row.able for row in abilities._ROWS} < flags
    assert set(CAPABILITIES) > {"sd1", "flux1"}


class Two:
    """A studio with models of several families."""

    default_model = "a"

    def models(self) -> "Two":
        return self

    cards = (
        card("sdxl", "a"), card("sdxl", "b"), card("sdxl_refiner", "c"),
        card("sd1", "d"), card("sd1", "e"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "fitting"), [("a", ["b", "c"]), ("c", ["a", "b"]), ("d", ["e"]), ("gone", ["b", "c"])]
)
def test_refiners_of_the_same_latents_only(model: str, fitting: list[str]):
    none, *found = choices.refiners(Two(), model)
    assert none[1] == ""
    assert [name for _, name in found] == fitting
