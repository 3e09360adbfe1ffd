"""What a grid can vary of the units."""

import pytest

from extensions.controlnet.axes import axes
from extensions.controlnet.options import ControlNetOptions
from modules.errors import UserError
from modules.plugins import Axis, GenerationRequest

UNITS = [{"module": "canny", "model": "edges", "image": "a" * 64}, {"enabled": False}]
REQUEST = GenerationRequest(prompt="a cat", extras={"controlnet": {"units": UNITS}})


@pytest.fixture
def axis() -> dict[str, Axis]:
    """The axes by name."""
    return {axis.name: axis for axis in axes()}


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
def test_an_axis_sets_its_field_of_its_unit_alone(
    axis: dict[str, Axis], field: str, value: object
) -> None:
    made = axis[f"controlnet.{field}1"].apply(REQUEST, value)
    before = ControlNetOptions.model_validate(REQUEST.extras["controlnet"]).units
    after = ControlNetOptions.model_validate(made.extras["controlnet"]).units
    assert after[0] == before[0].model_copy(update={field: value})
    assert after[1:] == before[1:]
    assert REQUEST.extras["controlnet"]["units"] == UNITS


@pytest.mark.parametrize("number", [2, 3])
def test_a_unit_that_is_off_or_missing_is_named(axis: dict[str, Axis], number: int) -> None:
    with pytest.raises(UserError, match=f"no ControlNet unit {number}"):
        axis[f"controlnet.weight{number}"].apply(REQUEST, 1.0)
    with pytest.raises(UserError):
        axis["controlnet.weight1"].apply(GenerationRequest(prompt="a cat"), 1.0)


def test_a_start_after_the_end_is_said_in_both_languages() -> None:
    with pytest.raises(UserError) as caught:
        ControlNetOptions.model_validate(
            {"units": [{**UNITS[0], "guidance_start": 0.9, "guidance_end": 0.1}]}
        )
    assert "0.9" in caught.value.message("en") and "晚于" in caught.value.message("zh")


def test_no_model_and_a_model_by_the_name_of_other_programs_are_values(
    axis: dict[str, Axis],
) -> None:
    for value in ("None", "other [0a1b2c3d]", "Other.safetensors"):
        assert axis["controlnet.model1"].apply(REQUEST, value)
