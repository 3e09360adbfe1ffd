"""img2img, 9-channel inpainting and InstructPix2Pix of SD 2.x and SDXL against diffusers' pipelines, within 1e-4.

Those of SD 1.x are in test_parity_pictures.py.
"""

import warnings

import pytest
import torch

from modules.diffusion.families import FAMILIES
from modules.diffusion.inpaint import hidden, pixel_mask
from modules.diffusion.start import to_pixels
from modules.library.load import load
from modules.library.scan import read_card
from modules.schema import Img2Img, Inpaint
from tests.diffusion.test_img2img import INPUTS, MASK, PICTURE
from tests.diffusion.test_parity_pictures import near, ours
from tests.fixtures.tiny import SIDE, make_tiny

STEPS = 8
NAMES = {
    ("sd2", "base"): "StableDiffusionImg2ImgPipeline",
    ("sd2", "inpaint"): "StableDiffusionInpaintPipeline",
    ("sd2", "edit"): "StableDiffusionInstructPix2PixPipeline",
    ("sdxl", "base"): "StableDiffusionXLImg2ImgPipeline",
    ("sdxl", "inpaint"): "StableDiffusionXLInpaintPipeline",
    ("sdxl", "edit"): "StableDiffusionXLInstructPix2PixPipeline",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Makes a model of a family and a variant."""
    root, made = tmp_path_factory.mktemp("variants"), {}

    def get(family, variant):
        if (family, variant) not in made:
            folder = root / f"{family}-{variant}"
            make_tiny(folder, family=family, variant=variant, preview=False, card={})
            made[family, variant] = load(read_card(folder), "cpu")
        return made[family, variant]

    return get


def theirs(parts, request, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers

        more = {
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
        if parts.family == "sdxl":
            more = {
                "text_encoder_2": parts.text_encoder_2,
                "tokenizer_2": parts.tokenizer_2,
                "add_watermarker": False,
            }
        pipe = getattr(diffusers, NAMES[parts.family, parts.variant])(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=parts.unet,
            scheduler=diffusers.EulerDiscreteScheduler.from_config(parts.scheduler_config),
            **more,
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


def latents_of(parts, pixels, **options):
    with torch.inference_mode():
        return FAMILIES[parts.family].encode_images(parts, pixels, **options).clone()


@pytest.fixture
def pixels():
    return to_pixels(INPUTS.pictures[PICTURE], 4)


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_img2img(model, request_, pixels, family):
    parts = model(family, "base")
    group = Img2Img(image=PICTURE, denoising_strength=0.5)
    request = request_.replace(steps=STEPS, img2img=group.model_dump())
    expected = theirs(parts, request, image=latents_of(parts, pixels), strength=5 / 8)
    assert near(ours(parts, request), expected)


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_inpainting_with_nine_channels(model, request_, pixels, family):
    parts = model(family, "inpaint")
    paint = Inpaint(mask=MASK, blur=0).model_dump()
    group = Img2Img(image=PICTURE, denoising_strength=0.75, inpaint=paint)
    request = request_.replace(steps=STEPS, img2img=group.model_dump())
    mask = pixel_mask(INPUTS.pictures[MASK])
    expected = theirs(
        parts,
        request,
        image=latents_of(parts, pixels),
        mask_image=mask,
        masked_image_latents=latents_of(parts, hidden(pixels, mask)),
        height=SIDE,
        width=SIDE,
        strength=7 / 8,
    )
    assert near(ours(parts, request), expected)


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_instruct_pix2pix(model, request_, pixels, family):
    parts = model(family, "edit")
    group = Img2Img(image=PICTURE, denoising_strength=1.0, image_cfg_scale=1.7)
    request = request_.replace(steps=STEPS, img2img=group.model_dump())
    size = {"height": SIDE, "width": SIDE} if family == "sdxl" else {}
    expected = theirs(
        parts,
        request,
        image=latents_of(parts, pixels, scaled=False),
        image_guidance_scale=1.7,
        **size,
    )
    assert near(ours(parts, request), expected)
