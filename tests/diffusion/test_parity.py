"""Ours against diffusers' own pipeline: the same weights, the same noise, the same picture."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.inputs import Inputs
from modules.diffusion.pipeline import generate
from modules.diffusion.samplers import find_sampler, pick
from modules.diffusion.solvers.unipc import unipc
from modules.diffusion.timeline import timeline
from modules.library.load import load
from modules.library.scan import read_card
from tests.fixtures.tiny import make_tiny

# What somebody who uses diffusers by hand would write; everything else comes from the model's configuration. Of samplers
# with fresh noise only those are here that draw it one after the other, as diffusers does; the others, and the schedules
# that are not the model's own, have k-diffusion for a peer (test_reference.py).
THEIRS = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {"variance_type": "fixed_small"}),
    "plms": ("PNDMScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "unipc_bh2": ("UniPCMultistepScheduler", {"solver_order": 3, "solver_type": "bh2"}),
    "unipc_2": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}


# With "bh1", the variant that people know, diffusers has no numbers: its last step is 0 times infinity.
MORE = (
    replace(
        find_sampler("unipc"), name="unipc_bh2", label="", solver=partial(unipc, variant="bh2")
    ),
    replace(
        find_sampler("unipc"),
        name="unipc_2",
        label="",
        solver=partial(unipc, order=2, variant="bh2"),
    ),
)


class Last(Adapter):
    """Keeps the latents after the last step."""

    def after_step(self, step):
        row, schedule = pick(step.request.sampler, step.request.schedule, MORE)
        track = timeline(step.parts, row, schedule, step.steps, step.request.sampler_options)
        self.final = step.latents * track.scale


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def model(request, tmp_path_factory):
    folder = make_tiny(
        tmp_path_factory.mktemp("parity") / request.param, prediction_type=request.param
    )
    return load(read_card(folder), "cpu")


def theirs(parts, request, sampler, count, output):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers
        from diffusers import StableDiffusionPipeline

        name, options = THEIRS[sampler]
        kind = getattr(diffusers, name)
        pipe = StableDiffusionPipeline(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=parts.unet,
            scheduler=kind.from_config(parts.scheduler_config, **options),
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


@pytest.mark.parametrize("sampler", THEIRS)
def test_latents_equal_those_of_the_pipeline(model, request_, sampler):
    if sampler == "plms" and model.scheduler_config["prediction_type"] != "epsilon":
        pytest.skip("diffusers averages velocities, where the method averages noise")
    request = request_.replace(sampler=sampler, schedule="default", steps=6)
    last = Last()
    generate(model, request, [last], count=2, inputs=Inputs(samplers=MORE))
    expected = theirs(model, request, sampler, 2, "latent")
    scale = expected.abs().max().clamp(min=1)
    assert ((last.final - expected).abs().max() / scale).item() <= 1e-4


def test_without_guidance_too(model, request_):
    request = request_.replace(cfg_scale=1.0)
    last = Last()
    generate(model, request, [last])
    assert torch.allclose(last.final, theirs(model, request, "euler", 1, "latent"), atol=1e-4)


def test_pictures_equal_those_of_the_pipeline(model, request_):
    images = generate(model, request_, count=2)
    expected = theirs(model, request_, "euler", 2, "np")
    for ours, other in zip(images, expected, strict=True):
        assert np.abs(np.asarray(ours) / 255 - other).max() <= 0.5 / 255 + 1e-4
