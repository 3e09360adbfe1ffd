"""How the answers to several texts become one."""

import pytest
import torch

from modules.diffusion.conditioning import Encoded, Weighted
from modules.diffusion.guidance import Row, combine, rescaled, rows, within

TEXT = Encoded(torch.zeros(1, 2, 3))


def answer(kind, value, weight=1.0):
    return Row(kind, TEXT, 0, weight), torch.full((1, 2), float(value))


def test_it_goes_from_the_negative_past_the_positive():
    both = [answer("negative", 1), answer("positive", 3)]
    assert torch.equal(combine(both, 2.0), torch.full((1, 2), 5.0))
    assert torch.equal(combine(both, 1.0), torch.full((1, 2), 3.0))
    assert torch.equal(combine(both, 0.0), torch.full((1, 2), 1.0))


def test_without_a_negative_it_is_the_answer_itself():
    given = answer("positive", 3)
    assert combine([given], 9.0) is given[1]


def test_sub_prompts_pull_by_their_weights():
    """1 + 2 * (0.5 * (3 - 1) + -0.25 * (5 - 1))"""
    three = [answer("negative", 1), answer("positive", 3, 0.5), answer("positive", 5, -0.25)]
    assert torch.equal(combine(three, 2.0), torch.full((1, 2), 1.0))
    assert torch.allclose(combine(three[1:], 2.0), torch.full((1, 2), (1.5 - 1.25) / 0.25))


def test_a_picture_to_edit_pulls_as_well():
    """1 + 1.5 * (2 - 1) + 7 * (4 - 2), InstructPix2Pix's equation 3."""
    three = [answer("blind", 1), answer("negative", 2), answer("positive", 4)]
    found = combine(three, 7.0, image_cfg_scale=1.5)
    assert torch.equal(found, torch.full((1, 2), 16.5))


def test_rows_come_with_the_negative_first():
    found = rows((Weighted(TEXT, 0.3), Weighted(TEXT)), TEXT)
    assert [(row.kind, row.part, row.weight) for row in found] == [
        ("negative", 0, 1.0),
        ("positive", 0, 0.3),
        ("positive", 1, 1.0),
    ]
    assert [row.kind for row in rows((Weighted(TEXT),), None, edits=True)] == ["positive"]
    assert [row.kind for row in rows((Weighted(TEXT),), TEXT, edits=True)] == [
        "blind",
        "negative",
        "positive",
    ]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rescaling_brings_the_spread_back(share):
    plain = torch.randn(2, 4, 8, 8)
    guided = plain * torch.tensor([3.0, 5.0]).view(2, 1, 1, 1)
    found = rescaled(guided, plain, share)
    expected = plain * (torch.tensor([3.0, 5.0]) * (1 - share) + share).view(2, 1, 1, 1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_rescaling_is_against_the_answer_without_guidance():
    negative, positive = torch.randn(1, 64), torch.randn(1, 64)
    both = [(Row("negative", TEXT), negative), (Row("positive", TEXT), positive)]
    assert torch.allclose(combine(both, 7.0, rescale=1.0).std(), positive.std())


@pytest.mark.parametrize(
    ("share", "start", "end", "on"),
    [
        (0.0, 0.0, 1.0, True),
        (0.95, 0.0, 1.0, True),
        (0.2, 0.25, 0.75, False),
        (0.25, 0.25, 0.75, True),
        (0.75, 0.25, 0.75, False),
        (0.0, 0.0, 0.0, False),
    ],
)
def test_guidance_is_on_within_its_interval(share, start, end, on):
    assert within(share, start, end) is on
