"""Every family against its own diffusers pipeline: the same weights and noise, latents equal within 1e-4 in fp32."""

import warnings

import numpy as np
import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.families import FAMILIES
from modules.diffusion.pipeline import generate
from modules.library.load import load
from modules.library.scan import read_card
from tests.fixtures.tiny import SIDE, make_tiny

NAMES = ("sd1", "sd2", "sdxl", "sdxl_refiner")


class Last(Adapter):
    """Keeps the latents after the last step."""

    name = "last"

    def after_step(self, step):
        self.latents = step.latents


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    made = {}
    for family in NAMES:
        kind = "v_prediction" if family == "sd2" else "epsilon"
        folder = make_tiny(root / family, family=family, prediction_type=kind, card={})
        made[family] = load(read_card(folder), "cpu")
    return made


def pipeline(parts):
    """Diffusers' own, with the same parts."""
    import diffusers

    scheduler = diffusers.EulerDiscreteScheduler.from_config(parts.scheduler_config)
    common = {"vae": parts.vae, "unet": parts.unet, "scheduler": scheduler}
    if parts.family in ("sd1", "sd2"):
        pipe = diffusers.StableDiffusionPipeline(
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
            **common,
        )
    else:
        pipe = diffusers.StableDiffusionXLPipeline(
            text_encoder=parts.text_encoder,
            text_encoder_2=parts.text_encoder_2,
            tokenizer=parts.tokenizer,
            tokenizer_2=parts.tokenizer_2,
            add_watermarker=False,
            **common,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def theirs(parts, request, count, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline(parts)(
            [request.prompt] * count,
            negative_prompt=[request.negative_prompt] * count if request.negative_prompt else None,
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.cfg_scale,
            generator=[
                torch.Generator().manual_seed(request.seed + index) for index in range(count)
            ],
            output_type="latent",
            **options,
        ).images


def near(ours, expected):
    scale = expected.abs().max().clamp(min=1)
    return ((ours - expected).abs().max() / scale).item() <= 1e-4


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("negative", ["blurred", ""])
def test_text_to_picture(models, request_, family, negative):
    parts = models[family]
    request = request_.replace(steps=5, negative_prompt=negative)
    last = Last()
    generate(parts, request, [last], count=2)
    assert near(last.latents, theirs(parts, request, 2))


def test_another_shape_is_told_to_sdxl(models, request_):
    parts = models["sdxl"]
    request = request_.replace(steps=4, width=2 * SIDE)
    last = Last()
    generate(parts, request, [last])
    assert near(last.latents, theirs(parts, request, 1))
    other = theirs(parts, request, 1, original_size=(SIDE, SIDE))
    assert not near(last.latents, other)


def test_the_refiner_reads_as_its_pipeline_does(models, request_):
    """Its pipeline goes from picture to picture; here the denoiser's input is compared, and one answer."""
    import diffusers

    parts = models["sdxl_refiner"]
    conditioning = FAMILIES["sdxl_refiner"].encode(parts, request_)
    positive, negative = conditioning.at(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = diffusers.StableDiffusionXLImg2ImgPipeline(
            vae=parts.vae,
            text_encoder=None,
            text_encoder_2=parts.text_encoder_2,
            tokenizer=None,
            tokenizer_2=parts.tokenizer_2,
            unet=parts.unet,
            scheduler=diffusers.EulerDiscreteScheduler.from_config(parts.scheduler_config),
            requires_aesthetics_score=True,
            add_watermarker=False,
        )
        tokens, avoid, pooled, avoid_pooled = pipe.encode_prompt(
            request_.prompt,
            device=parts.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
            negative_prompt=request_.negative_prompt,
        )
        size = (SIDE, SIDE)
        ids, avoid_ids = pipe._get_add_time_ids(
            size,
            (0, 0),
            size,
            6.0,
            2.5,
            size,
            (0, 0),
            size,
            dtype=torch.float32,
            text_encoder_projection_dim=32,
        )
    (weighted,) = positive
    assert torch.allclose(weighted.encoded.tokens, tokens, atol=1e-5)
    assert torch.allclose(weighted.encoded.added["text_embeds"], pooled, atol=1e-5)
    assert torch.equal(weighted.encoded.added["time_ids"], ids)
    assert torch.allclose(negative.tokens, avoid, atol=1e-5)
    assert torch.allclose(negative.added["text_embeds"], avoid_pooled, atol=1e-5)
    assert torch.equal(negative.added["time_ids"], avoid_ids)
    noise = torch.randn((1, 4, 8, 8))
    added = dict(weighted.encoded.added)
    ours = FAMILIES["sdxl_refiner"].predict(parts, noise, 100.0, weighted.encoded.tokens, added, {})
    (answer,) = parts.unet(
        noise,
        100.0,
        encoder_hidden_states=tokens,
        added_cond_kwargs={"text_embeds": pooled, "time_ids": ids},
        return_dict=False,
    )
    assert torch.allclose(ours, answer, atol=1e-5)


def test_an_adapters_added_conditions_go_beside_the_familys(models, request_):
    parts = models["sdxl"]
    seen = {}

    class Listens(torch.nn.Module):
        config = parts.unet.config

        def forward(self, x, timestep, **named):
            seen.update(named)
            return (x,)

    own, parts.unet = parts.unet, Listens()
    try:
        family = FAMILIES["sdxl"]
        encoded = family.encode(parts, request_).at(0)[0][0].encoded
        image = [torch.ones(1, 1, 8)]
        family.predict(
            parts,
            torch.zeros(1, 4, 8, 8),
            1.0,
            encoded.tokens,
            encoded.added,
            {"added_cond_kwargs": {"image_embeds": image}},
        )
    finally:
        parts.unet = own
    assert seen["added_cond_kwargs"].keys() == {"text_embeds", "time_ids", "image_embeds"}
    assert seen["added_cond_kwargs"]["image_embeds"] is image


@pytest.mark.parametrize("family", ["sdxl", "sdxl_refiner"])
def test_clip_skip_counts_from_the_last_layer_and_is_at_least_two(models, request_, family):
    parts = models[family]
    tokens = [
        FAMILIES[family].encode(parts, request_.replace(clip_skip=skip)).at(0)[0][0].encoded.tokens
        for skip in (1, 2, 3)
    ]
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.allclose(tokens[1], tokens[2], atol=1e-3)


@pytest.mark.parametrize("family", NAMES)
def test_pictures_to_latents_as_the_pipelines_do_it(models, family):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import (
        retrieve_latents,
    )

    parts = models[family]
    pixels = torch.rand((2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(3))
    drawn = FAMILIES[family].encode_images(
        parts, pixels, [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    )
    middle = FAMILIES[family].encode_images(parts, pixels, scaled=False)
    factor = parts.vae.config.scaling_factor
    for index, seed in enumerate((5, 6)):
        one = parts.vae.encode(pixels[index : index + 1] * 2 - 1)
        expected = retrieve_latents(one, torch.Generator().manual_seed(seed)) * factor
        assert torch.allclose(drawn[index : index + 1], expected, atol=1e-5)
        mode = retrieve_latents(one, sample_mode="argmax")
        assert torch.allclose(middle[index : index + 1], mode, atol=1e-5)
    assert drawn.dtype is torch.float32


@pytest.mark.parametrize("family", NAMES)
def test_the_modules_offer_the_same_functions(family):
    offered = set(FAMILIES[family].__all__)
    assert offered == set(FAMILIES["sd1"].__all__)
    assert all(callable(getattr(FAMILIES[family], name)) for name in offered)


def test_latents_have_the_channels_that_the_denoiser_answers_with(tmp_path, models):
    parts = load(read_card(make_tiny(tmp_path / "a", variant="inpaint", card={})), "cpu")
    assert FAMILIES["sd1"].latent_shape(parts, SIDE, SIDE + 1) == (4, 9, 8)
    assert np.prod(FAMILIES["sd1"].latent_shape(models["sd1"], SIDE, SIDE)) == 4 * 64
