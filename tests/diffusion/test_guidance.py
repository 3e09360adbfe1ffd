"""Classifier-free guidance."""

import torch

from modules.diffusion.conditioning import Conditioning
from modules.diffusion.guidance import combine


def test_it_goes_from_the_negative_past_the_positive():
    both = torch.tensor([[1.0], [2.0], [3.0], [6.0]])
    assert torch.equal(combine(both, 2, 2.0), torch.tensor([[5.0], [10.0]]))
    assert torch.equal(combine(both, 2, 1.0), torch.tensor([[3.0], [6.0]]))


def test_without_a_negative_it_is_the_answer_itself():
    assert combine(answer := torch.ones(2, 1), 1, 9.0) is answer


def test_a_batch_has_the_negatives_first():
    rows = Conditioning(torch.ones(1, 2, 3), torch.zeros(1, 2, 3)).for_batch(2)
    assert rows.mean((1, 2)).tolist() == [0, 0, 1, 1]
    assert len(Conditioning(torch.ones(1, 2, 3), None).for_batch(2)) == 2
