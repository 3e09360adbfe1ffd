"""Seamless edges: with wrapped convolutions the model commutes with rolling the picture; and the undo is exact."""

import numpy as np
import pytest
import torch

from modules.diffusion.pipeline import generate
from modules.diffusion.seal import seal
from modules.diffusion.tiling import seamless


def denoised(parts, latents):
    text = torch.zeros((1, 77, parts.text_encoder.config.hidden_size))
    with torch.inference_mode():
        return parts.unet(latents, torch.tensor(500.0), encoder_hidden_states=text).sample


def decoded(parts, latents):
    with torch.inference_mode():
        return parts.vae.decode(latents).sample


def encoded(parts, pixels):
    with torch.inference_mode():
        return parts.vae.encode(pixels).latent_dist.mode()


LATENTS = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(1))
PIXELS = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(2)) * 2 - 1
# Axis, the way to roll, and whether what is not wrapped breaks.
WAYS = [("x", (0, 4)), ("y", (4, 0)), ("both", (4, 8))]


def rolled(values, way, scale=1.0):
    return torch.roll(values, tuple(round(each * scale) for each in way), dims=(-2, -1))


@pytest.mark.parametrize(("axes", "way"), WAYS)
@pytest.mark.parametrize(
    ("work", "given", "unit", "scale"),
    [(denoised, LATENTS, 1, 1), (decoded, LATENTS, 1, 4), (encoded, PIXELS, 4, 0.25)],
    ids=["denoiser", "decoder", "encoder"],
)
def test_rolling_what_goes_in_rolls_what_comes_out(parts, axes, way, work, given, unit, scale):
    way = tuple(each * unit for each in way)
    with seamless(parts, axes):
        one, other = work(parts, given), work(parts, rolled(given, way))
    assert torch.allclose(rolled(one, way, scale), other, atol=1e-4)
    # Without it the edges show: the test can fail.
    plain, moved = work(parts, given), work(parts, rolled(given, way))
    assert not torch.allclose(rolled(plain, way, scale), moved, atol=1e-3)


def test_the_other_axis_keeps_its_edge(parts):
    with seamless(parts, "x"):
        one, other = denoised(parts, LATENTS), denoised(parts, rolled(LATENTS, (4, 0)))
    assert not torch.allclose(rolled(one, (4, 0)), other, atol=1e-3)


@pytest.mark.parametrize("axes", ["off", "x", "y", "both"])
def test_everything_is_put_back_also_when_something_raises(parts, axes):
    before, picture = seal(parts), denoised(parts, LATENTS)
    with pytest.raises(RuntimeError, match="on the way"), seamless(parts, axes):
        raise RuntimeError("on the way")
    assert seal(parts).difference(before) is None
    assert torch.equal(denoised(parts, LATENTS), picture)


def test_a_seamless_picture_has_no_seam(parts, request_):
    """Its edges differ as neighbours do; those of a plain one as strangers."""

    def seam(image):
        levels = np.asarray(image, dtype=float)
        inner = np.abs(np.diff(levels, axis=1)).mean()
        return np.abs(levels[:, 0] - levels[:, -1]).mean() / inner

    plain, wrapped = (
        np.mean([seam(each) for each in generate(parts, request_.replace(tiling=axes), count=4)])
        for axes in ("off", "x")
    )
    assert wrapped < plain
