"""Pieces, and that nobody sees where they meet."""

import numpy as np
import pytest

from extensions.upscaler.tiles import Tiling, in_tiles, shares, starts

TILING = Tiling(64, 28, 8)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 100, 128, 1000])
def test_tiles_cover_a_side_and_their_shares_add_up_to_one(length):
    begins = starts(length, TILING)
    total = np.zeros(length * 2)
    for begin, share in zip(begins, shares(length, TILING, 2), strict=True):
        total[begin * 2 : begin * 2 + len(share)] += share
    assert begins[0] == 0 and begins[-1] + min(length, 64) == length
    assert np.allclose(total, 1, atol=1e-5)


def test_the_outermost_pixels_of_a_tile_count_nothing():
    first, second, *_ = shares(200, TILING, 2)
    assert not first[-16:].any() and first[-18] > 0 and first[0] == 1
    assert not second[:16].any() and second[18] > 0


def blurred(piece):
    """A model that looks `reach` pixels far and enlarges twice; beyond the edge it sees the edge."""
    reach = 8
    padded = np.pad(piece, ((reach, reach), (reach, reach), (0, 0)), "edge")
    size = 2 * reach + 1
    total = sum(
        padded[dy : dy + piece.shape[0], dx : dx + piece.shape[1]]
        for dy in range(0, size, 4)
        for dx in range(0, size, 4)
    )
    return (total / len(range(0, size, 4)) ** 2).repeat(2, 0).repeat(2, 1).astype(np.float32)


@pytest.mark.parametrize("size", [(50, 40), (64, 64), (150, 101), (65, 230)])
def test_tiled_and_whole_are_the_same_where_the_model_looks_no_further_than_the_margin(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    whole = in_tiles(picture, 2, blurred, lambda share: None, Tiling(1000, 28, 8))
    tiled = in_tiles(picture, 2, blurred, lambda share: None, TILING)
    assert tiled.shape == (size[0] * 2, size[1] * 2, 3)
    assert np.abs(tiled.astype(int) - whole.astype(int)).max() <= 1


def test_a_plain_area_stays_plain_even_where_tiles_differ_in_level():
    calls = []

    def uneven(piece):  # each tile comes out a little brighter than the one before
        calls.append(1)
        return np.full((piece.shape[0] * 2, piece.shape[1] * 2, 3), 0.4 + 0.02 * len(calls))

    picture = np.full((64, 136, 3), 100, np.uint8)
    made = in_tiles(picture, 2, uneven, lambda share: None, TILING).astype(int)
    steps = np.abs(np.diff(made[30, :, 0]))
    assert made[0, 0, 0] != made[0, -1, 0]
    assert steps.max() <= 1  # a slope, no step


def test_it_can_be_stopped_and_tells_how_far_it_is():
    told = []

    def check(share):
        told.append(share)
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_tiles(np.zeros((200, 200, 3), np.uint8), 2, blurred, check, TILING)
    assert told[0] == 0 and told == sorted(told) and len(told) > 3


def test_sizes_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="overlap"):
        Tiling(64, 16, 8)
