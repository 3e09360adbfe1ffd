"""Noise by seed."""

import itertools
import math

import pytest
import torch

from modules.diffusion.brownian import BrownianPath
from modules.diffusion.latents import paste, slerp, sources
from modules.schema import GenerationRequest, SamplerOptions, SeedResize, Variation

SHAPE = (4, 8, 8)


def asked(**changes):
    return GenerationRequest(seed=7).replace(**changes)


def start(request, first=0, count=1, shape=SHAPE):
    return sources(request, first, count).start(shape)


VARIANTS = {
    "plain": {},
    "nv": {"rng": "nv"},
    "variation": {"variation": Variation(seed=3, strength=0.4)},
    "resize": {"seed_resize": SeedResize(width=48, height=80)},
    "both": {
        "variation": Variation(seed=3, strength=1),
        "seed_resize": SeedResize(width=48, height=48),
    },
    "ensd": {"sampler_options": SamplerOptions(eta_noise_seed_delta=31337)},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_picture_s_noise_is_the_same_alone_and_in_a_batch(variant):
    """To the bit, and all that is drawn later as well."""
    request = asked(**VARIANTS[variant])
    batch = sources(request, 1, 3)
    begin, more = batch.start(SHAPE), [batch.more(SHAPE) for _ in range(2)]
    for index in range(3):
        alone = sources(request, 1 + index, 1)
        assert torch.equal(alone.start(SHAPE)[0], begin[index])
        for later in more:
            assert torch.equal(alone.more(SHAPE)[0], later[index])
    assert begin.dtype == torch.float32
    assert not torch.equal(begin[0], begin[1])


def test_a_seed_means_the_same_noise_for_ever():
    """If this fails, no picture can be made again from its seed."""
    found = start(asked(seed=42), shape=(4, 1, 1)).flatten()
    assert torch.allclose(found, torch.tensor([0.3367, 0.1288, 0.2345, 0.2303]), atol=1e-4)
    nv = start(asked(seed=0, rng="nv"), shape=(4, 1, 1)).flatten()
    assert torch.allclose(nv, torch.tensor([-0.9247, -0.4253, -2.6438, 0.1452]), atol=1e-4)


def test_seeds_count_up_and_wrap():
    assert sources(asked(seed=2**32 - 1), 0, 2).seeds == (2**32 - 1, 0)


def test_noise_goes_on_where_the_start_ended():
    source = sources(asked(), 0, 1)
    generator = torch.Generator().manual_seed(7)
    assert torch.equal(source.start(SHAPE)[0], torch.randn(SHAPE, generator=generator))
    assert torch.equal(source.more(SHAPE)[0], torch.randn(SHAPE, generator=generator))


def test_ensd_changes_what_is_drawn_later_only():
    plain, shifted = sources(asked(), 0, 1), sources(asked(**VARIANTS["ensd"]), 0, 1)
    assert torch.equal(plain.start(SHAPE), shifted.start(SHAPE))
    expected = torch.randn(SHAPE, generator=torch.Generator().manual_seed(7 + 31337))
    assert torch.equal(shifted.more(SHAPE)[0], expected)
    assert not torch.equal(plain.more(SHAPE)[0], expected)


def test_a_variation_goes_from_the_seed_to_the_other():
    def varied(strength):
        return start(asked(variation=Variation(seed=3, strength=strength)))

    own, other = start(asked()), start(asked(seed=3))
    assert torch.equal(varied(0), own)
    assert torch.allclose(varied(1), other, atol=1e-5)
    half = varied(0.5)
    assert 0.5 < torch.corrcoef(torch.stack([half.flatten(), own.flatten()]))[0, 1] < 0.9
    assert abs(half.std() - 1) < 0.1, "the noise stays as strong as it is"


def test_with_a_variation_its_seed_counts_up_and_the_seed_stays():
    request = asked(variation=Variation(seed=3, strength=0.3))
    batch = sources(request, 0, 2)
    assert batch.seeds == (7, 7)
    second = start(asked(variation=Variation(seed=4, strength=0.3)))
    assert torch.equal(batch.start(SHAPE)[1], second[0])


def test_slerp_of_what_is_alike_is_straight():
    one = torch.randn(SHAPE)
    assert torch.allclose(slerp(0.3, one, one), one)
    assert torch.isfinite(slerp(0.3, one, -one)).all()


@pytest.mark.parametrize(("height", "width"), [(4, 6), (12, 8), (8, 14), (12, 12)])
def test_a_resized_seed_lies_in_the_middle(height, width):
    inner = torch.arange(4.0 * height * width).view(4, height, width) + 1
    found = paste(inner, torch.zeros(4, 8, 8))
    assert found.shape == (4, 8, 8)
    assert int((found[0] > 0).sum()) == min(height, 8) * min(width, 8)
    middle = found[:, 4, 4]
    assert torch.equal(middle, inner[:, height // 2, width // 2])


def test_a_resized_seed_is_the_noise_of_its_own_size():
    """In latents of 8 pixels; width and height are not confused."""
    found = start(asked(seed_resize=SeedResize(width=48, height=32)))[0]
    small = start(asked(), shape=(4, 4, 6))[0]
    assert torch.equal(found[:, 2:6, 1:7], small)
    around = start(asked())[0]
    assert torch.equal(found[:, 0], around[:, 0])


def path(seed=5, shape=(20_000,)):
    return BrownianPath(seed, shape, 0.03, 15.0)


def test_pieces_of_a_path_are_normal_and_independent():
    levels = [15.0, 9.0, 4.0, 3.9, 1.0, 0.2, 0.03]
    one = path()
    pieces = torch.stack([one(high, low) for high, low in itertools.pairwise(levels)])
    assert (pieces.mean(1).abs() < 0.03).all()
    assert ((pieces.var(1) - 1).abs() < 0.04).all(), "the variance is exactly 1"
    correlation = torch.corrcoef(pieces) - torch.eye(len(pieces))
    assert correlation.abs().max() < 0.03


def test_a_path_is_the_seed_s_whatever_way_it_is_walked():
    straight, small = path(shape=(50,)), path(shape=(50,))
    whole = straight(8.0, 0.5)
    parts = [(8.0, 5.0), (5.0, 4.0), (4.0, 0.5)]
    lengths = [math.log(high / low) for high, low in parts]
    summed = sum(
        small(high, low) * math.sqrt(length)
        for (high, low), length in zip(parts, lengths, strict=True)
    )
    # But for the rounding of the levels to the grid.
    assert torch.allclose(whole, summed / math.sqrt(sum(lengths)), atol=0.1)
    assert torch.equal(path(shape=(50,))(8.0, 0.5), whole)
    assert not torch.allclose(path(6, (50,))(8.0, 0.5), whole)


def test_levels_closer_than_the_grid_still_give_noise():
    found = path()(1.0, 0.99999)
    assert abs(found.var() - 1) < 0.04
    assert torch.isfinite(path()(15.0, 14.99999)).all()
