"""Every group of a request comes back from the text; the keys are those that the A1111 family writes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.imaging.infotext import PictureFacts, read, to_fields, to_request, write
from modules.schema import (
    GenerationRequest,
    Guidance,
    Hires,
    Img2Img,
    Inpaint,
    Outpaint,
    Refiner,
    SamplerOptions,
    SeedResize,
    SoftInpainting,
    Variation,
)

FACTS = PictureFacts(version="Noisette 1.0")
BASE = GenerationRequest(
    prompt="a cat", width=512, height=640, steps=20, cfg_scale=6.5, sampler="euler", seed=7
)
share = st.floats(0, 1)
names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
ids = st.text("0123456789abcdef", min_size=64, max_size=64)
inpaints = st.builds(
    Inpaint,
    mask=ids,
    padding=st.integers(0, 256),
    area=st.just("only_masked"),
    soft=st.none() | st.builds(SoftInpainting, mask_influence=share),
)
requests = st.builds(
    lambda **groups: BASE.replace(
        **{name: value.model_dump() if value else value for name, value in groups.items()}
    ),
    hires=st.none() | st.builds(Hires, upscaler=names, sampler=st.none() | names, prompt=st.none() | names),
    refiner=st.none() | st.builds(Refiner, model=names, switch_at=st.floats(0.01, 1)),
    variation=st.none() | st.builds(Variation, seed=st.integers(0, 2**32 - 1), strength=st.floats(0.01, 1)),
    seed_resize=st.none() | st.builds(SeedResize, width=st.integers(8, 4096), height=st.integers(8, 4096)),
    sampler_options=st.builds(SamplerOptions, s_churn=st.floats(0, 100), rho=st.none() | st.floats(1, 9)),
    guidance=st.builds(Guidance),
)  # fmt: skip
with_pictures = st.builds(
    lambda group: BASE.replace(img2img=group.model_dump()),
    st.builds(
        Img2Img, image=ids, inpaint=st.none() | inpaints, outpaint=st.none() | st.builds(Outpaint)
    ),
)


@settings(max_examples=60, deadline=None)
@given(requests | with_pictures)
def test_every_group_comes_back(request):
    found, unused = to_request(write(request, index=0, facts=FACTS))
    assert unused == ()
    assert found == request


def pairs(request, index=0, **facts):
    return dict(read(write(request, index=index, facts=PictureFacts(**facts))).parameters)


def test_the_keys_of_hires_fix_and_their_order():
    request = BASE.replace(
        hires=Hires(steps=10, sampler="heun", prompt="a dog, sitting", cfg_scale=3).model_dump()
    )
    text = write(request, index=0, facts=PictureFacts(hires_sampler="Heun"))
    assert text.endswith(
        "Seed: 7, Size: 512x640, Denoising strength: 0.7, RNG: CPU, Hires upscale: 2, Hires steps: 10, "
        'Hires upscaler: Latent, Hires sampler: Heun, Hires prompt: "a dog, sitting", Hires CFG Scale: 3'
    )
    sized = BASE.replace(hires=Hires(width=1024, height=1280).model_dump())
    assert pairs(sized)["Hires resize"] == "1024x1280" and "Hires upscale" not in pairs(sized)


def test_seeds_count_up_where_they_do_in_a1111():
    plain = pairs(BASE, index=2)
    assert plain["Seed"] == "9" and "Variation seed" not in plain
    varied = BASE.replace(variation={"seed": 100, "strength": 0.25})
    found = pairs(varied, index=2)
    assert (found["Seed"], found["Variation seed"], found["Variation seed strength"]) == (
        "7", "102", "0.25",
    )  # fmt: skip


def test_the_keys_of_inpainting():
    inpaint = Inpaint(
        mask="b" * 64, mode="not_masked", content="latent_noise", area="only_masked", blur=8
    )
    request = BASE.replace(img2img=Img2Img(image="a" * 64, inpaint=inpaint).model_dump())
    found = pairs(request)
    assert found["Denoising strength"] == "0.75"
    assert found["Mask mode"] == "Inpaint not masked"
    assert (found["Mask blur"], found["Masked area padding"]) == ("8", "32")
    assert (found["Inpaint area"], found["Masked content"]) == ("Only masked", "latent noise")


def test_flags_and_choices():
    request = BASE.replace(tiling="both", emphasis="no_norm", clip_skip=2, rng="nv", vae="x")
    found = pairs(request)
    assert (found["Tiling"], found["Emphasis"], found["Clip skip"]) == ("True", "No norm", "2")
    assert (found["RNG"], found["VAE"]) == ("NV", "x")
    assert to_request(write(BASE.replace(tiling="y"), index=0, facts=FACTS))[0].tiling == "y"


def test_a_text_of_a1111():
    """Written by hand after its grammar: a hires picture with what people use most."""
    request, unused = to_request(
        "masterpiece, 1girl\nNegative prompt: bad\n"
        "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 99, "
        "Size: 640x960, Model hash: 6ce0161689, Model: v1-5, VAE hash: 735e4c3a44, VAE: kl-f8.ckpt, "
        "Variation seed: 12, Variation seed strength: 0.1, Seed resize from: 512x512, "
        "Denoising strength: 0.4, Clip skip: 2, ENSD: 31337, Tiling: True, Hires upscale: 1.5, "
        "Hires steps: 15, Hires upscaler: Latent (nearest-exact), Refiner: sdxl_refiner, "
        "Refiner switch at: 0.8, Emphasis: No norm, Eta: 0.67, Version: v1.10.1"
    )
    assert unused == ()
    assert request.rng == "nv"  # its default: noise of the graphics card
    assert (request.hires.scale, request.hires.steps, request.hires.denoising_strength) == (
        1.5,
        15,
        0.4,
    )
    assert request.hires.upscaler == "Latent (nearest-exact)"
    assert (request.refiner.model, request.refiner.switch_at) == ("sdxl_refiner", 0.8)
    assert (request.variation.seed, request.variation.strength) == (12, 0.1)
    assert (request.seed_resize.width, request.seed_resize.height) == (512, 512)
    assert request.sampler_options.eta_noise_seed_delta == 31337
    assert request.sampler_options.eta == 0.67
    assert (request.tiling, request.emphasis, request.vae) == ("both", "no_norm", "kl-f8.ckpt")


def test_an_older_text_gives_the_size_of_both_passes():
    request, _ = to_request(
        "x\nSteps: 20, Seed: 1, Size: 1024x1536, First pass size: 512x768, Hires upscaler: Latent, "
        "Denoising strength: 0.7, Version: v1.0"
    )
    assert (request.width, request.height) == (512, 768)
    assert (request.hires.width, request.hires.height) == (1024, 1536)


def test_without_the_picture_a_form_can_still_be_filled():
    text = "x\nSteps: 20, Seed: 1, Size: 64x64, Denoising strength: 0.4, Mask blur: 9"
    request, unused = to_request(text)
    assert request.img2img is None
    assert unused == ("Denoising strength: 0.4", "Mask blur: 9")
    fields, unused = to_fields(text)
    assert unused == ()
    assert fields["img2img"] == {"denoising_strength": "0.4", "inpaint": {"blur": "9"}}


@pytest.mark.parametrize(
    "value",
    [
        "Denoising strength: 7",
        "Hires upscale: NaN",
        "Hires resize: 10",
        "Tiling: maybe",
        "RNG: dice",
        "Emphasis: loud",
        "Seed resize from: 0x0",
        "Refiner switch at: 0",
        "Mask mode: both",
        "sd_model_checkpoint: ../../x",
        "outdir_samples: /etc",
    ],
)
def test_a_bad_or_foreign_value_is_left_out_and_the_rest_used(value):
    request, unused = to_request(f"x\nSteps: 20, Seed: 5, CFG scale: 3, {value}")
    assert unused == (value,)
    assert (request.steps, request.seed, request.cfg_scale) == (20, 5, 3.0)
