"""Hires fix, the refiner, and what is refused before the model is touched."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from modules.diffusion.adapter import Adapter
from modules.diffusion.hires import covering, enlarge_latents
from modules.diffusion.inputs import Inputs
from modules.diffusion.pipeline import generate
from modules.diffusion.upscalers import LATENT_UPSCALERS
from modules.errors import Cancelled, UnknownNameError, UserError
from modules.schema import Hires, Img2Img, Refiner, Stage


class Watches(Adapter):
    def __init__(self):
        self.steps, self.parts, self.requests = [], [], []

    def before_model(self, step):
        self.steps.append((tuple(step.latents.shape[-2:]), step.sigma))
        self.parts.append(step.parts)
        self.requests.append(step.request)


def hires(request, **options):
    return request.replace(hires=Hires(**options).model_dump())


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (1024, 768)),
        ({"scale": 1.5}, (768, 576)),
        ({"scale": 1.33}, (680, 510)),
        ({"width": 1024}, (1024, 768)),
        ({"height": 600}, (800, 600)),
        ({"width": 700, "height": 700}, (700, 700)),
    ],
)
def test_how_large_the_second_pass_is(options, size):
    assert Hires(**options).size(512, 384) == size


def test_what_is_enlarged_covers_the_frame_in_its_own_shape():
    assert covering((512, 384), (700, 700)) == (933, 700)
    assert covering((512, 384), (1024, 768)) == (1024, 768)


@pytest.mark.parametrize("row", LATENT_UPSCALERS, ids=lambda row: row.name)
def test_latent_upscalers(row):
    latents = torch.full((2, 4, 6, 8), 3.0)
    found = enlarge_latents(latents, row, (4, 9, 15))
    assert found.shape == (2, 4, 9, 15)
    assert torch.allclose(found, torch.full_like(found, 3.0), atol=1e-5)
    ramp = torch.arange(8.0).expand(1, 1, 6, 8)
    wide = enlarge_latents(ramp, row, (1, 12, 16))
    assert (wide.diff(dim=-1) >= -1e-4).all()
    assert wide.min() < 0.6 and wide.max() > 6.4


def test_latents_that_wrap_are_enlarged_over_the_edge():
    ramp = torch.sin(torch.arange(8.0) / 8 * 2 * torch.pi).expand(1, 1, 8, 8)
    row = LATENT_UPSCALERS[0]
    one = enlarge_latents(ramp, row, (1, 16, 16), (True, True))
    moved = enlarge_latents(ramp.roll(3, -1), row, (1, 16, 16), (True, True))
    assert torch.allclose(one.roll(6, -1), moved, atol=1e-5)


@pytest.mark.parametrize("upscaler", ["Latent", "latent (bicubic antialiased)", "Lanczos", "None"])
def test_two_passes(parts, request_, upscaler):
    watch, told = Watches(), []
    request = hires(request_, upscaler=upscaler, scale=1.5, denoising_strength=0.6, steps=4)
    (found,) = generate(parts, request, [watch], told.append)
    assert found.size == (48, 48)
    shapes = [shape for shape, _ in watch.steps]
    assert shapes == [(8, 8)] * 3 + [(12, 12)] * 4  # the second runs all its steps
    assert watch.steps[3][1] < watch.steps[0][1]  # from a lower level
    done = [one.step for one in told if one.stage is Stage.DENOISING]
    assert done == sorted(done) and done[-1] == 7
    assert {one.steps for one in told if one.stage is Stage.DENOISING} == {7}
    assert Stage.UPSCALING in [one.stage for one in told]


def test_sides_that_are_no_multiples_work_too(parts, request_):
    request = hires(request_.replace(width=30, height=35), scale=1.3, upscaler="Nearest")
    assert generate(parts, request)[0].size == (39, 45)
    request = hires(request_, width=50, height=33)
    assert generate(parts, request)[0].size == (50, 33)


def test_the_second_pass_has_its_own_prompt_sampler_and_guidance(parts, request_):
    watch = Watches()
    own = {
        "prompt": "a blue dog",
        "negative_prompt": "",
        "sampler": "heun",
        "schedule": "karras",
        "cfg_scale": 1.0,
    }
    plain = generate(parts, hires(request_, scale=1.5), [watch])[0]
    assert {each.prompt for each in watch.requests} == {"a red cat"}
    watch = Watches()
    other = generate(parts, hires(request_, scale=1.5, **own), [watch])[0]
    last = watch.requests[-1]
    assert (last.prompt, last.sampler, last.schedule, last.cfg_scale) == (
        "a blue dog", "heun", "karras", 1.0,
    )  # fmt: skip
    assert watch.requests[0].prompt == "a red cat"
    assert plain.tobytes() != other.tobytes()


def test_shares_beyond_one_change_the_prompt_in_the_second_pass(parts, request_):
    changing = hires(request_.replace(prompt="a [red:blue:1.5] cat"), scale=1.5)
    red = hires(request_.replace(prompt="a red cat"), scale=1.5)
    with_steps = [generate(parts, each)[0].tobytes() for each in (changing, red)]
    assert with_steps[0] != with_steps[1]
    early = request_.replace(prompt="a [red:blue:1.99] cat")
    assert (
        generate(parts, hires(early, scale=1.5, steps=2, denoising_strength=0.9))[0].tobytes()
        == generate(parts, hires(red, scale=1.5, steps=2, denoising_strength=0.9))[0].tobytes()
    ) is (int(0.99 * 2) >= 2)


def test_an_upscaler_that_is_handed_in_is_used_and_can_be_stopped(parts, request_):
    class Grey:
        name = "Grey"
        asked = 0

        def upscale(self, image, width, height, check):
            for _ in range(3):
                check()
                Grey.asked += 1
            return Image.new("RGB", (width, height), "grey")

    inputs = Inputs(upscalers={"Grey": Grey()})
    request = hires(request_, upscaler="grey", scale=1.5, denoising_strength=0.0)
    (found,) = generate(parts, request, inputs=inputs)
    assert np.asarray(found, float).std() < 60 and Grey.asked == 3
    told = []

    def report(progress):
        told.append(progress.stage)
        if told.count(Stage.UPSCALING) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        generate(parts, request, (), report, inputs=inputs)
    assert Grey.asked == 4


def test_an_upscaler_of_the_wrong_size_is_named(parts, request_):
    class Lazy:
        name = "Lazy"

        def upscale(self, image, width, height, check):
            return image

    with pytest.raises(UserError, match="Lazy gave a picture of 32 x 32 pixels instead of 64 x 64"):
        generate(parts, hires(request_, upscaler="Lazy"), inputs=Inputs(upscalers={"Lazy": Lazy()}))


def test_what_cannot_be_is_said_before_the_model_is_touched(parts, request_):
    told = []
    with pytest.raises(UnknownNameError, match="no upscaler called “ESRGAN”"):
        generate(parts, hires(request_, upscaler="ESRGAN"), (), told.append)
    both = hires(request_.replace(img2img=Img2Img(image="1" * 64).model_dump()))
    with pytest.raises(UserError, match="belongs to txt2img"):
        generate(parts, both, (), told.append)
    assert told == []


# ------------------------------------------------------------------------------------------- refiner


def refined(request, switch_at):
    return request.replace(refiner=Refiner(model="other", switch_at=switch_at).model_dump())


@pytest.mark.parametrize(("switch_at", "first"), [(0.5, 5), (0.8, 8), (1.0, 10)])
def test_the_refiner_takes_over_at_its_share(parts, request_, switch_at, first):
    other = replace(parts, card_name="other")
    watch = Watches()
    generate(
        parts,
        refined(request_.replace(steps=10), switch_at),
        [watch],
        inputs=Inputs(refiner=other),
    )
    assert [each is other for each in watch.parts] == [index >= first for index in range(10)]


def test_a_refiner_that_is_the_model_changes_nothing(parts, request_):
    """For samplers with a memory too: they go on as if nothing had happened."""
    for sampler in ("euler", "dpmpp_2m"):
        request = request_.replace(sampler=sampler, steps=6)
        plain = generate(parts, request)[0]
        again = generate(
            parts, refined(request, 0.4), inputs=Inputs(refiner=replace(parts, card_name="other"))
        )[0]
        assert plain.tobytes() == again.tobytes()


def test_with_hires_fix_the_refiner_ends_the_second_pass(parts, request_):
    other, watch = replace(parts, card_name="other"), Watches()
    request = hires(refined(request_.replace(steps=4), 0.6), scale=1.5, denoising_strength=0.9)
    generate(parts, request, [watch], inputs=Inputs(refiner=other))
    assert [each is other for each in watch.parts[:4]] == [False] * 4
    assert watch.parts[-1] is other
