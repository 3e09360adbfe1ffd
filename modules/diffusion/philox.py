"""The random numbers of NVIDIA's generator, on any device: what `torch.randn(..., device="cuda")` gives for a seed.

Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), laid out as torch lays it
out on CUDA: one counter per number, of whose four words the first two make one normal number after Box and Muller.
That holds as long as the GPU has a thread for every number (up to 196,608 numbers on the smaller ones; latents of
1024 x 1024 pixels are 65,536); beyond it torch's own numbers depend on the model of GPU, these do not.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]

_ROUND = (0xD2511F53, 0xCD9E8D57)
_KEY_STEP = (0x9E3779B9, 0xBB67AE85)


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32-10: (4, n) counters to (4, n) random words."""
    one, two, three, four = (np.asarray(word, dtype=np.uint32) for word in counter)
    first, second = key
    for _ in range(10):
        upper, lower = _multiply(_ROUND[0], one)
        up, low = _multiply(_ROUND[1], three)
        one, two = up ^ two ^ np.uint32(first), low
        three, four = upper ^ four ^ np.uint32(second), lower
        first = first + _KEY_STEP[0] & 0xFFFFFFFF
        second = second + _KEY_STEP[1] & 0xFFFFFFFF
    return np.stack([one, two, three, four])


def _multiply(factor: int, words: Words) -> tuple[Words, Words]:
    product = words.astype(np.uint64) * np.uint64(factor)
    # The upper and the lower word; a cast to 32 bits keeps the lower one.
    return (product >> np.uint64(32)).astype(np.uint32), product.astype(np.uint32)


class Philox:
    """One seed's stream of normal numbers. Each call goes on where the last one ended, as torch's does."""

    def __init__(self, seed: int) -> None:
        self._key = (seed & 0xFFFFFFFF, seed >> 32)
        self._calls = 0

    def normal(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Standard normal numbers."""
        count = math.prod(shape)
        counter = np.zeros((4, count), dtype=np.uint32)
        counter[0] = self._calls
        counter[2] = np.arange(count, dtype=np.uint32)
        self._calls += 1
        first, second, _, _ = philox(counter, self._key)
        unit = np.float32(2.0**-32)
        turn = np.float32(2.0**-32 * 2 * math.pi)
        length = first.astype(np.float32) * unit + unit / np.float32(2)
        angle = second.astype(np.float32) * turn + turn / np.float32(2)
        found: npt.NDArray[np.float32] = np.sqrt(np.float32(-2) * np.log(length)) * np.sin(angle)
        return found.reshape(shape)
