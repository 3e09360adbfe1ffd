"""img2img, 9-channel inpainting and InstructPix2Pix against diffusers' pipelines: same weights, same noise, same latents."""

import warnings
from dataclasses import replace

import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.families import FAMILIES
from modules.diffusion.inpaint import hidden, pixel_mask
from modules.diffusion.pipeline import generate
from modules.diffusion.start import to_pixels
from modules.schema import Img2Img, Inpaint
from tests.diffusion.test_img2img import INPUTS, MASK, PICTURE
from tests.fixtures.tiny import SIDE

STEPS = 8


class Last(Adapter):
    def after_step(self, step):
        self.latents = step.latents


def reading(parts, channels, variant):
    """The tiny model with a denoiser that reads more channels."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    state = torch.random.get_rng_state()
    torch.manual_seed(3)
    unet = UNet2DConditionModel.from_config({**parts.unet.config, "in_channels": channels}).eval()
    torch.random.set_rng_state(state)
    return replace(parts, unet=unet.requires_grad_(False), variant=variant)


def pipeline(parts, name, request, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers

        pipe = getattr(diffusers, name)(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=parts.unet,
            scheduler=diffusers.EulerDiscreteScheduler.from_config(parts.scheduler_config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe(
            request.prompt,
            negative_prompt=request.negative_prompt,
            num_inference_steps=STEPS,
            guidance_scale=request.cfg_scale,
            generator=[torch.Generator().manual_seed(request.seed)],
            output_type="latent",
            **options,
        ).images


def ours(parts, request):
    last = Last()
    generate(parts, request, [last], inputs=INPUTS)
    return last.latents


def near(found, expected):
    scale = expected.abs().max().clamp(min=1)
    return ((found - expected).abs().max() / scale).item() <= 1e-4


@pytest.fixture
def pixels():
    return to_pixels(INPUTS.pictures[PICTURE], 4)


def latents_of(parts, pixels, **options):
    with torch.inference_mode():
        return FAMILIES["sd1"].encode_images(parts, pixels, **options).clone()


@pytest.mark.parametrize(("strength", "theirs"), [(0.5, 5 / 8), (1.0, 1.0), (0.1, 1 / 8)])
def test_img2img(parts, request_, pixels, strength, theirs):
    """The strengths differ since ours count steps as the A1111 family does; the steps that run are the same."""
    group = Img2Img(image=PICTURE, denoising_strength=strength)
    request = request_.replace(steps=STEPS, img2img=group.model_dump())
    expected = pipeline(
        parts,
        "StableDiffusionImg2ImgPipeline",
        request,
        image=latents_of(parts, pixels),
        strength=theirs,
    )
    assert near(ours(parts, request), expected)


def test_inpainting_with_nine_channels(parts, request_, pixels):
    model = reading(parts, 9, "inpaint")
    group = Img2Img(
        image=PICTURE, denoising_strength=0.75, inpaint=Inpaint(mask=MASK, blur=0).model_dump()
    )
    request = request_.replace(steps=STEPS, img2img=group.model_dump())
    mask = pixel_mask(INPUTS.pictures[MASK])
    expected = pipeline(
        model,
        "StableDiffusionInpaintPipeline",
        request,
        image=latents_of(model, pixels),
        mask_image=mask,
        masked_image_latents=latents_of(model, hidden(pixels, mask)),
        height=SIDE,
        width=SIDE,
        strength=7 / 8,
    )
    assert near(ours(model, request), expected)


def test_instruct_pix2pix(parts, request_, pixels):
    model = reading(parts, 8, "edit")
    group = Img2Img(image=PICTURE, denoising_strength=1.0, image_cfg_scale=1.7)
    request = request_.replace(steps=STEPS, img2img=group.model_dump())
    expected = pipeline(
        model,
        "StableDiffusionInstructPix2PixPipeline",
        request,
        image=latents_of(model, pixels, scaled=False),
        image_guidance_scale=1.7,
    )
    assert near(ours(model, request), expected)


def test_the_picture_matters_to_the_special_models(parts, request_):
    """Without a picture an inpainting model is told to make all of it; an editing one cannot."""
    from modules.errors import UserError

    model = reading(parts, 9, "inpaint")
    assert len(generate(model, request_)) == 1
    with pytest.raises(UserError, match="needs one"):
        generate(reading(parts, 8, "edit"), request_)
