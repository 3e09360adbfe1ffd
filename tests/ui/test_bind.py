"""Named values of the page become a request, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.errors import UserError
from modules.schema import GenerationRequest
from modules.ui.bind import field_name, from_request, to_request


def test_numbers_arrive_as_the_browser_sends_them():
    request = to_request(
        {"prompt": "x", "width": 512.0, "steps": "20", "seed": -1.0, "cfg_scale": 7}
    )
    assert request.width == 512
    assert request.steps == 20
    assert request.seed == -1
    assert request.cfg_scale == 7.0


def test_an_empty_control_means_what_the_card_says():
    request = to_request({"prompt": "", "width": None, "sampler": "", "model": None})
    assert request == GenerationRequest()


def test_options_of_an_extension_travel_under_its_name():
    request = to_request({field_name("freeu", "enabled"): True, field_name("freeu", "b1"): 1.5})
    assert request.extras == {"freeu": {"enabled": True, "b1": 1.5}}


def test_a_panel_that_is_off_leaves_no_trace():
    request = to_request({field_name("freeu", "enabled"): False, field_name("freeu", "b1"): 1.5})
    assert request.extras == {}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"width": 12.5}, "width"),
        ({"steps": "many"}, "steps"),
        ({"seed": 2**40}, "seed"),
        ({"cfg_scale": float("nan")}, "cfg_scale"),
        ({"cfg_scale": float("inf")}, "cfg_scale"),
        ({"prompt": ["a"]}, "prompt"),
        ({"batch_size": 0}, "batch_size"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values: dict[str, object], named: str):
    with pytest.raises(UserError) as caught:
        to_request(values)
    assert caught.value.message("en").startswith(f"{named} is ")
    assert named in caught.value.message("zh")


@given(
    prompt=st.text(max_size=200),
    width=st.integers(8, 4096),
    seed=st.integers(-1, 2**32 - 1),
    cfg=st.floats(0, 100),
    scale=st.floats(0, 2),
)
def test_there_and_back(prompt: str, width: int, seed: int, cfg: float, scale: float):
    extras = {"freeu": {"enabled": True, "b1": scale}}
    request = GenerationRequest(prompt=prompt, width=width, seed=seed, cfg_scale=cfg, extras=extras)
    assert to_request(from_request(request)) == request
