"""A picture in pieces: all of it, each piece asked for, and blended where they overlap."""

import pytest
import torch

from modules.diffusion.tiles import in_tiles, spans
from modules.errors import Cancelled


def doubled(piece):
    return piece.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("size", [(5, 5), (8, 8), (9, 30), (64, 17)])
@pytest.mark.parametrize(("tile", "overlap"), [(8, 2), (8, 0), (16, 7)])
def test_local_work_comes_out_as_in_one_piece(size, tile, overlap):
    given = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(0))
    for work in (doubled, lambda piece: piece * 2 + 1):
        found = in_tiles(given, work, tile=tile, overlap=overlap, check=lambda: None)
        assert torch.allclose(found, work(given), atol=1e-5)


def test_pieces_that_disagree_are_blended_without_a_step():
    count = iter(range(10))
    found = in_tiles(
        torch.zeros((1, 1, 8, 22)),
        lambda piece: piece + next(count),
        tile=12,
        overlap=6,
        check=lambda: None,
    )[0, 0, 0]
    assert found[0] == 0 and found[-1] > 1
    assert found.diff().abs().max() < 0.4


def test_every_span_is_covered():
    for length in range(1, 80):
        found = spans(length, 16, 4)
        assert {x for start, end in found for x in range(start, end)} == set(range(length))
        assert all(end - start == min(16, length) for start, end in found)


def test_stopping_takes_effect_before_the_next_piece():
    done = []

    def check():
        if len(done) == 2:
            raise Cancelled

    def work(piece):
        done.append(1)
        return piece

    with pytest.raises(Cancelled):
        in_tiles(torch.zeros((1, 1, 40, 40)), work, tile=16, overlap=4, check=check)
    assert len(done) == 2
