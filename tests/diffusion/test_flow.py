"""Flow matching in the loop: the levels of diffusers' scheduler, exact solutions with every sampler, SD 3's pipeline."""

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from modules.diffusion import flow
from modules.diffusion.adapter import Adapter
from modules.diffusion.pipeline import generate
from modules.diffusion.samplers import SAMPLERS, find_sampler, pick
from modules.diffusion.schedules import SCHEDULES, find_schedule
from modules.diffusion.solvers.protocol import Ask
from modules.diffusion.timeline import lay_out
from modules.errors import UserError
from modules.library.load import load
from modules.library.scan import read_card
from modules.schema import SamplerOptions
from tests.fixtures.tiny_flow import make_flow

MEAN, SPREAD = 0.7, 0.5


# ------------------------------------------------------------------------------------------------------- levels


def test_the_top_stands_for_noise_alone():
    levels = flow.from_config({"shift": 3.0})
    assert flow.share(levels.highest) == 1.0
    assert float(levels.timestep(levels.highest)) == 1000.0
    noise = torch.randn(4, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(
        flow.model_input(noise * levels.highest, levels.highest), noise, rtol=1e-6
    )


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.3, 0.5, 0.9, 0.999])
def test_shares_and_sigmas_are_inverse(noise):
    assert flow.share(flow.to_sigma(noise)) == pytest.approx(noise, abs=1e-12)


@pytest.mark.parametrize(
    "config",
    [
        {"shift": 1.0},
        {"shift": 3.0},
        {"shift": 3.0, "shift_terminal": 0.02},
        {"shift": 3.0, "use_karras_sigmas": True},
        {"shift": 3.0, "use_exponential_sigmas": True},
    ],
)
@pytest.mark.parametrize("steps", [1, 4, 28])
def test_the_models_own_schedule_is_that_of_diffusers(config, steps):
    if steps == 1 and "shift_terminal" in config:
        pytest.skip("diffusers has no numbers for a single step")
    theirs = FlowMatchEulerDiscreteScheduler(**config)
    theirs.set_timesteps(steps)
    track = _track("euler", "default", steps, config)
    shares = [flow.share(sigma) for sigma in track.sigmas]
    assert np.allclose(shares, theirs.sigmas.numpy(), atol=2e-6)
    assert np.allclose(track.timesteps, theirs.timesteps.numpy(), atol=2e-3)


def test_a_schedule_for_other_models_is_refused():
    with pytest.raises(UserError) as caught:
        _track("euler", "align_your_steps", 10)
    assert caught.value.key == "error.schedule.flow"


@pytest.mark.parametrize(
    "schedule", [row.name for row in SCHEDULES if row.name != "align_your_steps"]
)
def test_every_other_schedule_begins_near_noise_alone_and_ends_clean(schedule):
    track = _track("euler", schedule, 12)
    shares = [flow.share(sigma) for sigma in track.sigmas]
    assert shares[0] > 0.9 and shares[-1] == 0
    assert all(later < sooner for sooner, later in pairwise(shares))


def test_a_shift_by_size_is_refused_in_the_loop():
    with pytest.raises(UserError) as caught:
        flow.from_config({"use_dynamic_shifting": True})
    assert caught.value.key == "error.schedule.dynamic"


# ----------------------------------------------------------------------------------------------------- samplers


def _track(sampler, schedule, steps, config=None, options=None):
    config = config or {"shift": 3.0}
    row, chosen = pick(sampler, schedule)
    return lay_out(
        flow.from_config(config),
        row,
        chosen,
        steps,
        options or SamplerOptions(),
        config=config,
        family="sd3",
    )


def _solve(track, noise, draw=None):
    """The sampler against a Gaussian target, whose best guess of the clean value is known."""
    last = noise * track.noise_scale
    run = track.run(last, draw or (lambda sigma, lower: 0.0))
    answer = None
    while True:
        try:
            event = run.send(answer)
        except StopIteration:
            return last * track.scale
        if isinstance(event, Ask):
            level = event.sigma**2
            answer = (SPREAD**2 * event.x + level * MEAN) / (SPREAD**2 + level)
            answer = (answer, answer) if event.negative else answer
        else:
            answer = last = event.x


STILL = [
    row.name
    for row in SAMPLERS
    if not row.noisy and not row.adaptive and row.name not in ("ddim_cfgpp", "dpm_fast")
]
HIGHER = ("heun", "dpm2", "lms", "dpmpp_2m", "ipndm_v", "deis", "unipc", "dpmpp_2s")


@pytest.mark.parametrize("sampler", STILL)
def test_a_sampler_without_noise_lands_on_the_solution_from_noise_alone(sampler):
    noise = np.linspace(-2, 2, 9)
    exact = MEAN + SPREAD * noise
    errors = []
    for steps in (20, 80):
        track = _track(sampler, "default", steps, options=SamplerOptions(eta=0.0))
        errors.append(np.abs(_solve(track, noise) - exact).max())
    assert errors[1] < errors[0] or errors[1] < 1e-3
    assert errors[1] < 0.05


@pytest.mark.parametrize("sampler", HIGHER)
def test_methods_of_higher_order_are_of_use(sampler):
    noise = np.linspace(-2, 2, 9)
    exact = MEAN + SPREAD * noise
    errors = {
        name: np.abs(_solve(_track(name, "default", 320), noise) - exact).max()
        for name in ("euler", sampler)
    }
    assert errors[sampler] < errors["euler"] / 5


@pytest.mark.parametrize(
    "sampler",
    [
        "euler_a",
        "dpm2_a",
        "dpmpp_2s_a",
        "dpmpp_sde",
        "dpmpp_2m_sde",
        "dpmpp_3m_sde",
        "ddpm",
        "restart",
    ],
)
def test_a_sampler_with_noise_gives_the_target_back(sampler):
    random = np.random.default_rng(3)
    count = 20_000
    track = _track(sampler, "default", 160)
    found = _solve(
        track, random.standard_normal(count), lambda *levels: random.standard_normal(count)
    )
    assert found.mean() == pytest.approx(MEAN, abs=0.03)
    assert found.std() == pytest.approx(SPREAD, abs=0.04)


def test_a_solver_that_draws_unasked_has_to_say_so():
    row = replace(find_sampler("lcm"), noisy=False)
    levels, schedule = flow.from_config({"shift": 3.0}), find_schedule("simple")
    with pytest.raises(ValueError, match="noisy"):
        lay_out(levels, row, schedule, 4, SamplerOptions())


# ------------------------------------------------------------------------------------------ Stable Diffusion 3


class Last(Adapter):
    """Keeps the latents after the last step."""

    name = "last"

    def after_step(self, step):
        self.latents = step.latents


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("flow")
    return {
        kind: load(read_card(make_flow(root / kind, kind)), "cpu") for kind in ("sd3", "sd3_no_t5")
    }


def theirs(parts, request, count, output):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import StableDiffusion3Pipeline

        pipe = StableDiffusion3Pipeline(
            transformer=parts.unet,
            scheduler=FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config),
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            text_encoder_2=parts.text_encoder_2,
            tokenizer_2=parts.tokenizer_2,
            text_encoder_3=parts.text_encoder_3,
            tokenizer_3=parts.tokenizer_3,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe(
            [request.prompt] * count,
            negative_prompt=[request.negative_prompt] * count,
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.cfg_scale,
            generator=[torch.Generator().manual_seed(request.seed + i) for i in range(count)],
            output_type=output,
        ).images


@pytest.mark.parametrize("kind", ["sd3", "sd3_no_t5"])
@pytest.mark.parametrize("cfg", [1.0, 4.5])
@pytest.mark.parametrize("steps", [1, 8])
def test_latents_equal_those_of_the_pipeline(models, request_, kind, cfg, steps):
    request = request_.replace(cfg_scale=cfg, steps=steps, width=32, height=48)
    last = Last()
    generate(models[kind], request, [last], count=2)
    expected = theirs(models[kind], request, 2, "latent")
    scale = expected.abs().max().clamp(min=1)
    assert ((last.latents - expected).abs().max() / scale).item() <= 1e-4


def test_pictures_equal_those_of_the_pipeline(models, request_):
    images = generate(models["sd3"], request_, count=2)
    for ours, other in zip(images, theirs(models["sd3"], request_, 2, "np"), strict=True):
        assert np.abs(np.asarray(ours) / 255 - other).max() <= 0.5 / 255 + 1e-4


def test_each_text_encoder_has_a_say(models, request_):
    """Another prompt is another picture, with T5 and without; an emphasised word too."""
    for kind in ("sd3", "sd3_no_t5"):
        said = [
            np.asarray(generate(models[kind], request_.replace(prompt=prompt))[0])
            for prompt in ("a red cat", "a red dog", "a (red:1.4) cat", "[a red cat:a dog:0.5]")
        ]
        assert all(not np.array_equal(said[0], other) for other in said[1:])


def test_texts_of_any_length_are_read(models, request_):
    long = ", ".join(
        f"word {number}" for number in range(90)
    )  # beyond 75 CLIP tokens and 256 of T5
    one, other = (
        np.asarray(generate(models["sd3"], request_.replace(prompt=long + end))[0])
        for end in ("cat", "dog")
    )
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("sampler", [row.name for row in SAMPLERS if not row.adaptive])
def test_every_sampler_makes_a_picture(models, request_, sampler):
    last = Last()
    request = request_.replace(sampler=sampler, steps=4)
    first, again = (generate(models["sd3_no_t5"], request, [last])[0] for _ in range(2))
    assert first.tobytes() == again.tobytes()
    if sampler != "dpm_fast":  # with noise, in so few steps, it goes far
        assert last.latents.abs().max() < 50


def test_a_picture_alone_equals_the_one_in_a_batch(models, request_):
    last = Last()
    generate(models["sd3_no_t5"], request_, [last], count=2)
    both = last.latents
    generate(models["sd3_no_t5"], request_, [last], first=1)
    assert torch.allclose(both[1:], last.latents, atol=1e-5)


def test_sides_that_are_no_whole_patches(models, request_):
    (image,) = generate(models["sd3_no_t5"], request_.replace(width=36, height=30))
    assert image.size == (36, 30)


def test_hires_fix(models, request_):
    request = request_.replace(hires={"scale": 1.5, "denoising_strength": 0.6})
    (image,) = generate(models["sd3_no_t5"], request)
    assert image.size == (48, 48)


def test_pictures_to_latents_and_back_know_the_shift(models):
    from modules.diffusion.families import sd3

    parts = models["sd3"]
    pixels = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        latents = sd3.encode_images(parts, pixels)
        bare = parts.vae.encode(pixels * 2 - 1).latent_dist.mode()
        decoded = parts.vae.decode(bare).sample / 2 + 0.5
        assert torch.allclose(
            latents, (bare - parts.vae.config.shift_factor) * parts.vae.config.scaling_factor
        )
        assert torch.allclose(sd3.decode(parts, latents), decoded, atol=1e-5)


def test_a_picture_to_begin_with_lies_on_the_straight_path(models, request_):
    """img2img equals diffusers' own with the same latents, noise and number of steps."""
    from diffusers import StableDiffusion3Img2ImgPipeline
    from PIL import Image

    from modules.diffusion.families import sd3
    from modules.diffusion.inputs import Inputs

    parts, last, name = models["sd3"], Last(), "a" * 64
    levels = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(levels).resize((32, 32), Image.Resampling.BICUBIC)
    request = request_.replace(
        steps=8, cfg_scale=4.0, img2img={"image": name, "denoising_strength": 0.5}
    )
    generate(parts, request, [last], inputs=Inputs(pictures={name: picture}))
    pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32)).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        clean = sd3.encode_images(parts, pixels)
    pipe = StableDiffusion3Img2ImgPipeline(
        transformer=parts.unet,
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        text_encoder_2=parts.text_encoder_2,
        tokenizer_2=parts.tokenizer_2,
        text_encoder_3=parts.text_encoder_3,
        tokenizer_3=parts.tokenizer_3,
    )
    pipe.set_progress_bar_config(disable=True)
    expected = pipe(
        request.prompt,
        negative_prompt=request.negative_prompt,
        image=clean.clone(),
        height=32,
        width=32,
        strength=5 / 8,  # int(0.5 * 8) + 1 of 8 steps
        num_inference_steps=8,
        guidance_scale=4.0,
        generator=[torch.Generator().manual_seed(request.seed)],
        output_type="latent",
    ).images
    assert ((last.latents - expected).abs().max() / expected.abs().max()).item() <= 1e-4


def test_what_the_mask_leaves_stays(models, request_):
    from PIL import Image

    from modules.diffusion.inputs import Inputs

    picture = Image.new("RGB", (32, 32), (200, 60, 30))
    mask = Image.new("L", (32, 32), 0)
    mask.paste(255, (0, 0, 16, 32))
    group = {
        "image": "a" * 64,
        "denoising_strength": 0.8,
        "inpaint": {"mask": "b" * 64, "blur": 0},
    }
    inputs = Inputs(pictures={"a" * 64: picture, "b" * 64: mask})
    (image,) = generate(
        models["sd3_no_t5"], request_.replace(steps=4, img2img=group), inputs=inputs
    )
    found, before = np.asarray(image), np.asarray(picture)
    assert np.array_equal(found[:, 16:], before[:, 16:])
    assert not np.array_equal(found[:, :16], before[:, :16])
