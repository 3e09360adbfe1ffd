"""Sizes for working on a picture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.schema import ModelCard, ModelDefaults, SizeLimits
from modules.schema.shape import size_like, size_of_ratio

CARD = ModelCard(
    name="m",
    title="M",
    family="sd1",
    path=".",
    size_bytes=0,
    defaults=ModelDefaults(width=512, height=512),
    size_limits=SizeLimits(minimum=256, maximum=1024, multiple=8),
)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (512, 768, (512, 768)),  # the model can do it: as it is
        (515, 509, (512, 512)),  # but for the multiple
        (4000, 3000, (592, 440)),  # too large: the same shape at the model's size
        (40, 30, (592, 440)),  # too small
    ],
)
def test_a_picture_keeps_its_shape(width: int, height: int, expected: tuple[int, int]):
    assert size_like(width, height, CARD) == expected


@given(ratio=st.floats(0.01, 100))
def test_always_inside_the_limits(ratio: float):
    for side in size_of_ratio(ratio, CARD):
        assert 256 <= side <= 1024
        assert side % 8 == 0
