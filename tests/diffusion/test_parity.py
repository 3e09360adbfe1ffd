"""Ours against diffusers' own pipeline: the same weights, the same noise, the same picture."""

import warnings

import numpy as np
import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.pipeline import generate
from modules.diffusion.samplers import find_sampler
from modules.library.load import load
from modules.library.scan import read_card
from tests.fixtures.tiny import make_tiny

# What somebody who uses diffusers by hand would write; everything else comes from the model's configuration.
OPTIONS = {
    ("euler", "karras"): {"use_karras_sigmas": True},
    ("dpmpp_2m", "karras"): {"use_karras_sigmas": True},
    ("dpmpp_2m_sde", "default"): {"algorithm_type": "sde-dpmsolver++"},
}


class Last(Adapter):
    """Keeps the latents after the last step."""

    def after_step(self, step):
        self.latents = step.latents


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def model(request, tmp_path_factory):
    folder = make_tiny(
        tmp_path_factory.mktemp("parity") / request.param, prediction_type=request.param
    )
    return load(read_card(folder), "cpu")


def theirs(parts, request, sampler, schedule, count, output):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers
        from diffusers import StableDiffusionPipeline

        kind = getattr(diffusers, find_sampler(sampler).class_name)
        pipe = StableDiffusionPipeline(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=parts.unet,
            scheduler=kind.from_config(
                parts.scheduler_config, **OPTIONS.get((sampler, schedule), {})
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe(
            [request.prompt] * count,
            negative_prompt=[request.negative_prompt] * count,
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.cfg_scale,
            generator=[
                torch.Generator().manual_seed(request.seed + index) for index in range(count)
            ],
            output_type=output,
        ).images


@pytest.mark.parametrize(
    ("sampler", "schedule"),
    [
        ("euler", "default"),
        ("euler", "karras"),
        ("euler_a", "default"),
        ("heun", "default"),
        ("ddim", "default"),
        ("plms", "default"),
        ("dpmpp_2m", "default"),
        ("dpmpp_2m", "karras"),
        ("dpmpp_2m_sde", "default"),
        ("unipc", "default"),
    ],
)
def test_latents_equal_those_of_the_pipeline(model, request_, sampler, schedule):
    request = request_.replace(sampler=sampler, schedule=schedule, steps=6)
    last = Last()
    generate(model, request, [last], count=2)
    expected = theirs(model, request, sampler, schedule, 2, "latent")
    scale = expected.abs().max().clamp(min=1)
    assert ((last.latents - expected).abs().max() / scale).item() <= 1e-4


def test_without_guidance_too(model, request_):
    request = request_.replace(cfg_scale=1.0)
    last = Last()
    generate(model, request, [last])
    assert torch.allclose(
        last.latents, theirs(model, request, "euler", "default", 1, "latent"), atol=1e-4
    )


def test_pictures_equal_those_of_the_pipeline(model, request_):
    images = generate(model, request_, count=2)
    expected = theirs(model, request_, "euler", "default", 2, "np")
    for ours, other in zip(images, expected, strict=True):
        assert np.abs(np.asarray(ours) / 255 - other).max() <= 0.5 / 255 + 1e-4
