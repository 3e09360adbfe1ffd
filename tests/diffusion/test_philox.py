"""NVIDIA's generator: published vectors, and the numbers that torch gives on a GPU."""

import numpy as np
import pytest

from modules.diffusion.philox import Philox, philox

# Known answers of Random123 1.14 (kat_vectors, philox4x32 10): counter, key, words.
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
# torch.manual_seed(0); torch.randn(12, device="cuda"), as it is widely published.
CUDA = [-0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284, -1.0745, -0.3631]
CUDA += [-1.6711, 2.2655]


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_the_published_vectors(counter, key, words):
    found = philox(np.array(counter, dtype=np.uint32)[:, None], key)
    assert found[:, 0].tolist() == list(words)


def test_the_numbers_are_those_of_torch_on_a_gpu():
    assert np.allclose(Philox(0).normal((3, 4)).flatten(), CUDA, atol=5e-5)


def test_each_call_goes_on():
    stream = Philox(7)
    first, second = stream.normal((100,)), stream.normal((100,))
    assert not np.allclose(first, second)
    assert np.array_equal(Philox(7).normal((100,)), first)
    assert first.dtype == np.float32


def test_they_are_normal():
    found = Philox(2**32 - 1).normal((4, 64, 64)).astype(float)
    assert abs(found.mean()) < 0.02
    assert abs(found.std() - 1) < 0.02
    assert abs((found**4).mean() - 3) < 0.2
