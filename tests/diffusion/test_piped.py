"""FLUX.1, FLUX.2, Z-Image and Qwen-Image through `generate`: equal to their bare pipelines, and honest about limits."""

import warnings

import numpy as np
import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.capabilities import CAPABILITIES, check
from modules.diffusion.families import FAMILIES
from modules.diffusion.inputs import Inputs
from modules.diffusion.piped.run import PIPED
from modules.diffusion.pipeline import generate
from modules.diffusion.seal import seal
from modules.errors import Cancelled, UserError
from modules.library.load import load
from modules.library.scan import read_card
from modules.schema import Stage
from tests.fixtures.tiny_flow import make_flow

KINDS = ("flux1", "schnell", "flux2", "klein", "z_image", "qwen_image")
GUIDED = ("z_image", "qwen_image")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("piped")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {kind: load(read_card(make_flow(root / kind, kind)), "cpu") for kind in KINDS}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def asked(request_, kind):
    negative = "blurred" if kind in GUIDED else ""
    return request_.replace(negative_prompt=negative, cfg_scale=2.5)


def bare(kind, parts, request):
    """What somebody who uses diffusers by hand would write, with the noise of the seed."""
    import diffusers

    def noise(*shape):
        return torch.randn((1, *shape), generator=torch.Generator().manual_seed(request.seed))

    high, wide = request.height // 4, request.width // 4
    named = {
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config),
        "vae": parts.vae,
        "transformer": parts.unet,
        "text_encoder": parts.text_encoder,
        "tokenizer": parts.tokenizer,
    }
    call = {"guidance_scale": request.cfg_scale}
    if kind in ("flux1", "schnell"):
        pipe = diffusers.FluxPipeline(
            **named, text_encoder_2=parts.text_encoder_2, tokenizer_2=parts.tokenizer_2
        )
        call["latents"] = pipe._pack_latents(noise(4, high, wide), 1, 4, high, wide)
        call["max_sequence_length"] = 512 if kind == "flux1" else 256
    elif kind in ("flux2", "klein"):
        pipe = (diffusers.Flux2KleinPipeline if kind == "klein" else diffusers.Flux2Pipeline)(
            **named
        )
        call["latents"] = noise(16, high // 2, wide // 2)
    elif kind == "z_image":
        pipe = diffusers.ZImagePipeline(**named)
        call["latents"] = noise(16, high, wide)
        call["guidance_scale"] = request.cfg_scale - 1
        call["negative_prompt"] = request.negative_prompt
    else:
        pipe = diffusers.QwenImagePipeline(**named)
        call = {
            "latents": pipe._pack_latents(noise(1, 4, high, wide), 1, 4, high, wide),
            "true_cfg_scale": request.cfg_scale,
            "negative_prompt": request.negative_prompt,
        }
    pipe.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipe(
            prompt=request.prompt,
            height=request.height,
            width=request.width,
            num_inference_steps=request.steps,
            output_type="np",
            **call,
        ).images[0]


def test_the_picture_is_that_of_the_bare_pipeline(models, kind, asked):
    request = asked.replace(height=48)
    (image,) = generate(models[kind], request)
    expected = bare(kind, models[kind], request)
    assert image.size == (32, 48)
    assert np.abs(np.asarray(image) / 255 - expected).max() <= 0.5 / 255 + 1e-4


def test_a_seed_is_a_picture_alone_and_in_a_batch(models, kind, asked):
    both = generate(models[kind], asked, count=2)
    (second,) = generate(models[kind], asked, first=1)
    (other,) = generate(models[kind], asked.replace(seed=asked.seed + 1))
    assert both[1].tobytes() == second.tobytes() == other.tobytes()
    assert both[0].tobytes() != both[1].tobytes()


def test_the_model_is_left_as_it_was(models, kind, asked):
    before = seal(models[kind])
    generate(models[kind], asked)
    assert before.difference(seal(models[kind])) is None


def test_steps_and_previews_are_told(models, kind, asked):
    seen = []
    generate(models[kind], asked, report=seen.append, count=2, preview=2)
    stages = list(dict.fromkeys(each.stage for each in seen))
    assert stages == [Stage.ENCODING, Stage.DENOISING, Stage.DECODING]
    steps = [each.step for each in seen if each.stage is Stage.DENOISING]
    assert steps == [0, 1, 2, 3, 3, 4, 5, 6]
    assert {each.steps for each in seen if each.stage is Stage.DENOISING} == {6}
    shown = [(each.step, each.preview.size) for each in seen if each.preview]
    assert shown == [(2, (32, 32))]


def test_the_last_preview_looks_like_the_picture(models):
    """The map from latents to colours is fitted to the decoder, so the two go together."""
    # A random decoder is no picture's, but its mean colour follows its latents.
    kind, seen = "flux1", []
    request = _plain(kind).replace(steps=4)
    (image,) = generate(models[kind], request, report=seen.append, preview=1)
    preview = [each.preview for each in seen if each.preview][-1]
    means = [np.asarray(each, dtype=float).mean((0, 1)) for each in (image, preview)]
    assert np.abs(means[0] - means[1]).max() < 25


def test_cancel_takes_effect_within_a_step(models, kind, asked):
    calls = []
    handle = models[kind].unet.register_forward_hook(lambda *given: calls.append(1))

    def report(progress):
        if progress.step == 1:
            raise Cancelled

    try:
        with pytest.raises(Cancelled):
            generate(models[kind], asked.replace(steps=6), report=report)
    finally:
        handle.remove()
    assert len(calls) <= 2  # of one step: with guidance two
    assert generate(models[kind], asked)[0].size == (32, 32)


def test_prompt_guidance_and_negative_prompt_have_their_say(models, kind, asked):
    def picture(**changes):
        return generate(models[kind], asked.replace(**changes))[0].tobytes()

    usual = picture()
    assert picture(prompt="a blue dog") != usual
    if kind != "schnell":
        assert picture(cfg_scale=6.0) != usual
    if kind in GUIDED:
        assert picture(negative_prompt="sharp") != usual
        # Without guidance nobody reads it.
        assert picture(cfg_scale=1.0, negative_prompt="sharp") == picture(cfg_scale=1.0)


def test_sides_that_are_no_whole_latents_are_cut(models, kind, asked):
    (image,) = generate(models[kind], asked.replace(width=39, height=21))
    assert image.size == (39, 21)


def test_noise_of_nvidia_variations_and_resized_seeds_are_ours(models, kind, asked):
    several = {
        "usual": asked,
        "nv": asked.replace(rng="nv"),
        "varied": asked.replace(variation={"seed": 3, "strength": 0.3}),
        "resized": asked.replace(seed_resize={"width": 16, "height": 16}),
    }
    made = {name: generate(models[kind], each)[0].tobytes() for name, each in several.items()}
    assert len(set(made.values())) == len(several)


def test_numbers_out_of_bounds_are_named(models, asked, kind):
    weight = next(models[kind].unet.parameters())
    before = weight.data.clone()
    try:
        weight.data.fill_(float("nan"))
        with pytest.raises(UserError) as caught:
            generate(models[kind], asked)
    finally:
        weight.data.copy_(before)
    assert caught.value.key == "error.nan.denoising"


IMAGE = "0" * 64
BEYOND = {
    "clip_skip": {"clip_skip": 2},
    "vae": {"vae": "other"},
    "img2img": {"img2img": {"image": IMAGE}},
    "inpaint": {"img2img": {"image": IMAGE, "inpaint": {"mask": IMAGE}}},
    "hires": {"hires": {}},
    "tiling": {"tiling": "x"},
    "guidance": {"guidance": {"rescale": 0.5}},
    "sampler_options": {"sampler_options": {"s_noise": 1.1}},
    "weights": {"prompt": "a (red:1.3) cat"},
    "steps": {"prompt": "a [cat:dog:0.5]"},
    "sampler": {"sampler": "heun"},
    "schedule": {"schedule": "karras"},
}


def _plain(kind):
    from modules.schema import GenerationRequest

    return GenerationRequest(
        prompt="a red cat",
        negative_prompt="blurred" if kind in GUIDED else "",
        width=32,
        height=32,
        steps=3,
        cfg_scale=2.5,
        sampler="euler",
        schedule="default",
        seed=7,
    )


@pytest.mark.parametrize("what", BEYOND)
def test_what_a_family_cannot_do_is_refused_before_the_model_is_touched(models, what):
    for kind in ("flux1", "flux2", "z_image", "qwen_image"):
        handles = [
            part.register_forward_pre_hook(lambda *given: pytest.fail("the model was touched"))
            for part in models[kind].modules()
        ]
        try:
            with pytest.raises(UserError) as caught:
                generate(models[kind], _plain(kind).replace(**BEYOND[what]))
        finally:
            for handle in handles:
                handle.remove()
        assert caught.value.key.startswith("error.capability")
        assert kind in str(caught.value)
        inner = caught.value.values.get("what")
        if isinstance(inner, UserError):
            assert inner.key == f"capability.{what}" and "capability." not in inner.message("zh")


@pytest.mark.parametrize("kind", ["flux1", "flux2"])
def test_a_negative_prompt_is_refused_where_nobody_reads_it(models, kind):
    with pytest.raises(UserError, match="negative prompt"):
        generate(models[kind], _plain(kind).replace(negative_prompt="blurred"))


def test_brackets_and_and_are_words_of_plain_language(models):
    image = generate(models["flux1"], _plain("flux1").replace(prompt="a sign: (ROCK AND ROLL)"))
    assert image[0].size == (32, 32)


def test_extensions_cannot_act_inside(models):
    class Some(Adapter):
        name = "some"

    with pytest.raises(UserError, match="some"):
        generate(models["flux1"], _plain("flux1"), [Some()])


def test_such_a_model_cannot_refine_another(models, parts, request_):
    request = request_.replace(refiner={"model": "flux"})
    with pytest.raises(UserError) as caught:
        generate(parts, request, inputs=Inputs(refiner=models["flux1"]))
    assert caught.value.key == "error.refiner.family"


def test_every_family_says_what_it_can_do():
    assert set(CAPABILITIES) == set(FAMILIES) | set(PIPED)


def test_stable_diffusion_3_has_no_seamless_edges():
    request = _plain("flux1").replace(tiling="both")
    with pytest.raises(UserError, match="seamless"):
        check(request, "sd3", "tiny")
    check(request, "sd1", "tiny")
