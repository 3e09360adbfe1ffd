"""The model that ships, asked for things: the whole chain has to be right for the colours to be."""

from pathlib import Path

import numpy as np
import pytest

from modules.diffusion.pipeline import generate
from modules.diffusion.samplers import SAMPLERS
from modules.library.load import load
from modules.library.scan import read_card
from modules.schema import GenerationRequest

POCKET = Path(__file__).parents[2] / "models" / "checkpoints" / "pocket"
COLOURS = {
    "red": (220, 40, 40),
    "blue": (40, 100, 230),
    "yellow": (245, 205, 40),
    "black": (20, 20, 20),
}


@pytest.fixture(scope="module")
def pocket():
    if not (POCKET / "model_index.json").exists():
        pytest.skip("the shipped model is not in this checkout")
    return load(read_card(POCKET), "cpu")


def ask(prompt, **changes):
    card = read_card(POCKET)
    fields = card.defaults.model_dump() | {"steps": 8, "seed": 1, "prompt": prompt} | changes
    return GenerationRequest(**fields)


def picture(parts, request):
    return np.asarray(generate(parts, request)[0], dtype=float)


def corners(found):
    return np.concatenate([found[:12, :12].reshape(-1, 3), found[:12, -12:].reshape(-1, 3)]).mean(0)


def nearest(found):
    return min(COLOURS, key=lambda name: np.abs(found - COLOURS[name]).sum())


@pytest.mark.parametrize("colour", ["red", "blue", "yellow"])
def test_the_background_has_the_colour_that_was_asked_for(pocket, colour):
    found = picture(pocket, ask(f"an apple on a {colour} background"))
    assert nearest(corners(found)) == colour


def test_emphasis_is_felt_and_a_plain_weight_is_not(pocket):
    plain = picture(pocket, ask("a cat on a red background"))
    assert (picture(pocket, ask("a cat on a (red:1.0) background")) == plain).all()
    assert np.abs(picture(pocket, ask("a (cat:0) on a red background")) - plain).mean() > 1


ADD_NOISE = {"euler_a", "dpm2_a", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "dpmpp_sde"}
ADD_NOISE |= {"ddpm", "lcm", "dpmpp_2s_a", "dpm_fast", "dpm_adaptive", "restart"}
# Guides in its own way (CFG++), so that it solves an equation of its own.
OTHERS = ADD_NOISE | {"ddim_cfgpp"}
MEAL = "a hamburger on a blue background, 3d render"
STEPS = 20


@pytest.fixture(scope="module")
def by_euler(pocket):
    return picture(pocket, ask(MEAL, sampler="euler", steps=STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [sampler.name for sampler in SAMPLERS])
def test_every_sampler_draws_what_was_asked_for(pocket, by_euler, sampler):
    """A sampler that mistakes what the model predicts, or clips its latents, is far off here."""
    found = picture(pocket, ask(MEAL, sampler=sampler, steps=STEPS))
    assert nearest(corners(found)) == "blue"
    if sampler not in OTHERS:  # the rest all solve the same equation
        psnr = 10 * np.log10(255**2 / np.square(found - by_euler).mean().clip(1e-9))
        assert psnr > 30
