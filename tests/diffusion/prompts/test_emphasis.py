"""What weights do to vectors."""

import torch

from modules.diffusion.prompts.emphasis import emphasise


def hidden():
    return torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1)) + 1


WEIGHTS = torch.tensor([[1, 1, 2, 1, 1], [1, 1, 1, 1, 1]]).float()


def test_original_multiplies_and_keeps_the_mean_of_each_chunk():
    found = emphasise(hidden(), WEIGHTS, "original")
    assert torch.allclose(found.mean((1, 2)), hidden().mean((1, 2)), atol=1e-6)
    ratio = found[0] / hidden()[0]
    assert torch.allclose(ratio[2] / ratio[1], torch.tensor(2.0))
    assert torch.allclose(found[1], hidden()[1])


def test_no_norm_multiplies_only():
    found = emphasise(hidden(), WEIGHTS, "no_norm")
    assert torch.equal(found[0, 2], hidden()[0, 2] * 2)
    assert torch.equal(found[0, [0, 1, 3, 4]], hidden()[0, [0, 1, 3, 4]])
    assert torch.equal(found[1], hidden()[1])


def test_weights_of_one_leave_every_bit():
    plain = torch.randn(1, 5, 3).half()
    assert emphasise(plain, torch.ones(1, 5)) is plain


def test_emphasis_on_nothing_gives_numbers():
    assert torch.isfinite(emphasise(torch.ones(1, 4, 2), torch.zeros(1, 4))).all()
