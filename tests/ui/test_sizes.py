"""Shapes become sizes that the model can make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.schema import ModelCard, ModelDefaults, SizeLimits
from modules.ui.sizes import ASPECTS, aspect_of, size_for


def card(side: int, least: int, most: int, multiple: int) -> ModelCard:
    return ModelCard(
        name="x", title="x", family="sd1", path=".", size_bytes=1,
        defaults=ModelDefaults(width=side, height=side),
        size_limits=SizeLimits(minimum=least, maximum=most, multiple=multiple),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("aspect", "size"),
    [("1:1", (512, 512)), ("16:9", (680, 384)), ("9:16", (384, 680)), ("4:3", (592, 440))],
)
def test_the_sizes_of_sd1(aspect: str, size: tuple[int, int]):
    assert size_for(aspect, card(512, 256, 2048, 8)) == size


@given(
    aspect=st.sampled_from(list(ASPECTS)),
    side=st.integers(8, 128),
    multiple=st.sampled_from([8, 16, 64]),
)
def test_always_inside_the_limits(aspect: str, side: int, multiple: int):
    one = card(side * 8, 64, 1024, multiple)
    for found in size_for(aspect, one):
        assert 64 <= found <= 1024
        assert found % multiple == 0


@pytest.mark.parametrize("aspect", list(ASPECTS))
def test_a_size_is_recognised(aspect: str):
    assert aspect_of(*size_for(aspect, card(512, 256, 2048, 8))) == aspect
    assert aspect_of(*size_for(aspect, card(128, 64, 256, 8))) == aspect


def test_other_shapes_have_no_name():
    assert aspect_of(512, 2048) is None
    assert aspect_of(None, 512) is None
