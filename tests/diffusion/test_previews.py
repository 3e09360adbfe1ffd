"""Previews: what they show, and what they may cost."""

from dataclasses import replace

import numpy as np
import torch

from modules.diffusion.adapter import Step
from modules.diffusion.latents import generators
from modules.diffusion.previews import Previewer, fit_latent_rgb, to_image


def step(parts, sigma=2.0):
    """A step whose denoiser answered exactly right for known clean latents."""
    clean, dirt = (torch.randn(1, 4, 8, 8, generator=each) for each in generators([1, 2]))
    found = Step(0, 1, 0, 1, torch.tensor(1), sigma, clean + sigma * dirt, None, parts)
    found.denoised = clean
    return found, clean


def test_the_map_of_colours_is_the_best_straight_one(parts):
    with torch.inference_mode():
        found = fit_latent_rgb(parts)
        latents = (
            torch.randn(1, 4, 3, 3, generator=generators([5])[0])
            .repeat_interleave(4, -1)
            .repeat_interleave(4, -2)
        )
        shown = parts.preview.decode(latents / parts.preview.config.scaling_factor).sample / 2 + 0.5
        small = torch.nn.functional.adaptive_avg_pool2d(shown.clamp(0, 1), 12)[0]
        rows = torch.cat([latents, torch.ones_like(latents[:, :1])], 1)[0]
        guess = torch.einsum("chw,cr->rhw", rows, found)
    assert found.shape == (5, 3)
    grey = small.mean((1, 2), keepdim=True)
    assert (guess - small).square().mean() < (grey - small).square().mean()


def test_a_slow_decoder_is_used_rarely_and_never_in_turn_with_the_map(parts, monkeypatch):
    now = [0.0]
    used = []
    decode = parts.preview.decode

    def slow(latents):
        now[0] += 1.0
        used.append(now[0])
        return decode(latents)

    monkeypatch.setattr(parts.preview, "decode", slow)
    found, _ = step(parts)
    with torch.inference_mode():
        parts.latent_rgb = fit_latent_rgb(parts)
        used.clear()
        previewer = Previewer(parts, clock=lambda: now[0])
        fine = to_image(decode(found.denoised[:1]).sample[0] / 2 + 0.5)
        shown = []
        for _ in range(100):
            now[0] += 1.0
            shown.append(previewer.picture(found))
    assert 6 <= len(used) <= 14
    first = next(index for index, picture in enumerate(shown) if picture == fine)
    assert all(picture.size == (32, 32) for picture in shown[: first + 1])
    assert all(picture in (None, fine) for picture in shown[first:]), "sharp and blurred in turn"


def test_without_a_small_decoder_the_map_does(parts):
    bare = replace(parts, preview=None, latent_rgb=None)
    with torch.inference_mode():
        picture = Previewer(bare).picture(step(bare)[0])
    assert bare.latent_rgb is not None
    assert picture.size == (32, 32)
    assert np.asarray(picture).std() > 0


def test_numbers_become_levels_and_what_is_beyond_is_cut():
    pixels = torch.tensor([-1.0, 0.0, 0.5, 1.0, 9.0]).expand(3, 1, 5)
    assert np.asarray(to_image(pixels))[0, :, 0].tolist() == [0, 0, 128, 255, 255]
