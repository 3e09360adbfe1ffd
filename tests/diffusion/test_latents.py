"""Noise by seed."""

import torch

from modules.diffusion.latents import generators, noise


def test_the_noise_of_a_seed_is_the_same_alone_and_in_a_batch():
    batch = noise([3, 4, 2**32 - 1], (4, 8, 8))
    assert batch.shape == (3, 4, 8, 8)
    for row, seed in enumerate((3, 4, 2**32 - 1)):
        assert torch.equal(batch[row : row + 1], noise([seed], (4, 8, 8)))


def test_a_seed_means_the_same_noise_for_ever():
    """If this fails, no picture can be made again from its seed."""
    found = noise([42], (4, 8, 8)).flatten()[:4]
    expected = torch.tensor([0.3367, 0.1288, 0.2345, 0.2303])
    assert not torch.allclose(found, noise([43], (4, 8, 8)).flatten()[:4])
    assert torch.allclose(noise([42], (4,)).flatten(), expected, atol=1e-4)


def test_generators_go_on_where_the_noise_ended():
    source = generators([5])
    first = noise(source, (4, 8, 8))
    assert torch.equal(first, noise([5], (4, 8, 8)))
    assert not torch.equal(first, noise(source, (4, 8, 8)))
