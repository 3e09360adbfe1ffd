"""What a grid can vary of the units."""

import pytest

from extensions.controlnet.axes import axes
from extensions.controlnet.options import ControlNetOptions
from modules.errors import UserError
from modules.plugins import GenerationRequest

UNITS = [{"module": "canny", "model": "edges", "image": "a" * 64}, {"enabled": False}]
REQUEST = GenerationRequest(prompt="a cat", extras={"controlnet": {"units": UNITS}})
AXES = {axis.name: axis for axis in axes()}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weight", 0.25),
        ("guidance_start", 0.5),
        ("guidance_end", 0.5),
        ("control_mode", "prompt"),
        ("resize_mode", "just_resize"),
        ("module", "invert"),
        ("model", "other"),
    ],
)
def test_an_axis_sets_its_field_of_its_unit_alone(field: str, value: object) -> None:
    made = AXES[f"controlnet.{field}1"].apply(REQUEST, value)
    before = ControlNetOptions.model_validate(REQUEST.extras["controlnet"]).units
    after = ControlNetOptions.model_validate(made.extras["controlnet"]).units
    assert after[0] == before[0].model_copy(update={field: value})
    assert after[1:] == before[1:]
    assert REQUEST.extras["controlnet"]["units"] == UNITS


@pytest.mark.parametrize("number", [2, 3])
def test_a_unit_that_is_off_or_missing_is_named(number: int) -> None:
    with pytest.raises(UserError, match=f"no ControlNet unit {number}"):
        AXES[f"controlnet.weight{number}"].apply(REQUEST, 1.0)
    with pytest.raises(UserError):
        AXES["controlnet.weight1"].apply(GenerationRequest(prompt="a cat"), 1.0)


def test_a_start_after_the_end_is_said_in_both_languages() -> None:
    with pytest.raises(UserError) as caught:
        ControlNetOptions.model_validate(
            {"units": [{**UNITS[0], "guidance_start": 0.9, "guidance_end": 0.1}]}
        )
    assert "0.9" in caught.value.message("en") and "晚于" in caught.value.message("zh")
