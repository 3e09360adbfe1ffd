"""img2img, inpainting, outpainting: what it begins with, how many steps, and what stays."""

import numpy as np
import pytest
import torch
from PIL import Image

from modules.diffusion.adapter import Adapter
from modules.diffusion.families import FAMILIES
from modules.diffusion.inputs import Inputs
from modules.diffusion.latents import sources
from modules.diffusion.pipeline import generate
from modules.diffusion.start import Start, to_pixels
from modules.errors import UserError
from modules.schema import Img2Img, Inpaint, Outpaint, SoftInpainting, Stage
from tests.fixtures.tiny import SIDE

PICTURE, MASK, EMPTY = "1" * 64, "2" * 64, "3" * 64


def picture(width=SIDE, height=SIDE):
    levels = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def mask(width=SIDE, height=SIDE):
    found = Image.new("L", (width, height), 0)
    found.paste(255, (width // 2, height // 2, width, height))
    return found


INPUTS = Inputs({PICTURE: picture(), MASK: mask(), EMPTY: Image.new("L", (SIDE, SIDE))})


class Watches(Adapter):
    def __init__(self):
        self.seen, self.sigmas, self.first = 0, [], None

    def before_model(self, step):
        if self.first is None:
            self.first = step.latents.clone()
        self.seen += 1
        self.sigmas.append(step.sigma)

    def after_step(self, step):
        self.latents = step.latents


def img2img(request, **options):
    return request.replace(img2img=Img2Img(image=PICTURE, **options).model_dump())


def clean_of(parts):
    with torch.inference_mode():
        return FAMILIES["sd1"].encode_images(parts, to_pixels(INPUTS.pictures[PICTURE], 4))


@pytest.mark.parametrize(
    ("steps", "strength", "full", "schedule", "run"),
    [
        (20, 0.75, False, 20, 16),
        (20, 1.0, False, 20, 20),
        (20, 0.5, False, 20, 11),
        (20, 0.0, False, 20, 1),
        (20, 0.75, True, 26, 20),
        (20, 1.0, True, 20, 20),
        (20, 0.0, True, 20, 0),
        (50, 0.001, True, 1000, 50),
    ],
)
def test_both_ways_to_count_steps(steps, strength, full, schedule, run):
    start = Start(clean=torch.zeros(1), strength=strength, full_steps=full)
    assert start.steps(steps) == (schedule, run)


def test_it_begins_with_the_picture_and_noise_of_the_first_level(parts, request_):
    watch = Watches()
    request = img2img(request_.replace(steps=8), denoising_strength=0.5)
    generate(parts, request, [watch], inputs=INPUTS)
    assert watch.seen == 5
    noise = sources(request, 0, 1).start((4, 8, 8), 4)
    expected = clean_of(parts) + watch.sigmas[0] * noise
    assert torch.allclose(watch.first, expected, atol=1e-4)
    louder = Watches()
    changed = img2img(
        request_.replace(steps=8), denoising_strength=0.5, noise_multiplier=0.5, extra_noise=0.25
    )
    generate(parts, changed, [louder], inputs=INPUTS)
    expected = clean_of(parts) + (watch.sigmas[0] * 0.5 + 0.25) * noise
    assert torch.allclose(louder.first, expected, atol=1e-4)


def test_little_strength_stays_near_and_none_of_the_steps_gives_the_picture_back(parts, request_):
    request = request_.replace(steps=10)
    back = generate(
        parts, img2img(request, denoising_strength=0.0, full_steps=True), inputs=INPUTS
    )[0]
    with torch.inference_mode():
        pixels = FAMILIES["sd1"].decode(parts, clean_of(parts))
    assert back.tobytes() == FAMILIES["sd1"].to_images(pixels, SIDE, SIDE)[0].tobytes()
    far = [
        np.abs(
            np.asarray(
                generate(parts, img2img(request, denoising_strength=each), inputs=INPUTS)[0], float
            )
            - np.asarray(back, float)
        ).mean()
        for each in (0.05, 1.0)
    ]
    assert far[0] < far[1]


@pytest.mark.parametrize(
    "mode", ["just_resize", "crop_and_resize", "resize_and_fill", "latent_upscale"]
)
def test_every_resize_mode_gives_the_size_asked_for(parts, request_, mode):
    request = img2img(request_.replace(width=44, height=29), resize_mode=mode)
    stages = []
    (found,) = generate(parts, request, (), lambda told: stages.append(told.stage), inputs=INPUTS)
    assert found.size == (44, 29)
    assert Stage.PREPARING in stages


def inpaint(request, **options):
    group = {name: options.pop(name) for name in ("outpaint", "resize_mode") if name in options}
    return img2img(request, inpaint=Inpaint(mask=MASK, **options), **group)


@pytest.mark.parametrize("content", ["fill", "original", "latent_noise", "latent_nothing"])
@pytest.mark.parametrize("area", ["whole_picture", "only_masked"])
def test_what_is_not_masked_stays_bit_for_bit(parts, request_, content, area):
    request = inpaint(request_, content=content, area=area, blur=2, padding=4)
    found = np.asarray(generate(parts, request, inputs=INPUTS)[0])
    was = np.asarray(INPUTS.pictures[PICTURE])
    kept = np.ones((SIDE, SIDE), bool)
    kept[SIDE // 2 - 5 :, SIDE // 2 - 5 :] = False
    assert (found[kept] == was[kept]).all()
    assert (found[24:, 24:] != was[24:, 24:]).any()


def test_the_mask_turned_round_changes_the_rest(parts, request_):
    found = np.asarray(
        generate(parts, inpaint(request_, mode="not_masked", blur=0), inputs=INPUTS)[0]
    )
    was = np.asarray(INPUTS.pictures[PICTURE])
    assert (found[16:, 16:] == was[16:, 16:]).all()
    assert (found[:16, :16] != was[:16, :16]).any()


def test_only_masked_works_at_the_size_asked_for_and_keeps_the_pictures_own(parts, request_):
    inputs = Inputs({PICTURE: picture(100, 60), MASK: mask(100, 60)})
    watch = Watches()
    request = inpaint(request_, area="only_masked", padding=4)
    (found,) = generate(parts, request, [watch], inputs=inputs)
    assert found.size == (100, 60)
    assert watch.first.shape == (1, 4, 8, 8)


def test_outside_of_the_mask_the_latents_are_held_to_the_picture(parts, request_):
    watch = Watches()
    generate(parts, inpaint(request_, blur=0, content="latent_nothing"), [watch], inputs=INPUTS)
    clean = clean_of(parts)
    assert torch.allclose(watch.latents[..., :4, :], clean[..., :4, :], atol=1e-4)
    assert not torch.allclose(watch.latents[..., 4:, 4:], clean[..., 4:, 4:], atol=1e-2)


def test_an_empty_mask_and_a_missing_picture_are_said(parts, request_):
    empty = img2img(request_, inpaint=Inpaint(mask=EMPTY))
    with pytest.raises(UserError, match="mask is empty"):
        generate(parts, empty, inputs=INPUTS)
    with pytest.raises(UserError, match="not here any more"):
        generate(parts, img2img(request_), inputs=Inputs())


def test_soft_inpainting_blends_by_what_changed_and_keeps_the_rest(parts, request_):
    soft = inpaint(request_, blur=6, soft=SoftInpainting())
    hard = inpaint(request_, blur=6)
    one, other = (np.asarray(generate(parts, each, inputs=INPUTS)[0]) for each in (soft, hard))
    was = np.asarray(INPUTS.pictures[PICTURE])
    assert (one[:1, :1] == was[:1, :1]).all()
    assert (one != other).any() and (one[28:, 28:] != was[28:, 28:]).any()


def test_outpainting_adds_and_leaves_the_picture(parts, request_):
    request = img2img(request_, outpaint=Outpaint(left=8, right=0, up=4, down=0, blur=1))
    (found,) = generate(parts, request, inputs=INPUTS)
    assert found.size == (SIDE + 8, SIDE + 4)
    inner = np.asarray(found)[4 + 4 :, 8 + 4 :]
    assert (inner == np.asarray(INPUTS.pictures[PICTURE])[4:, 4:]).all()


def test_colours_are_kept_when_asked(parts, request_):
    warm = Inputs({PICTURE: Image.new("RGB", (SIDE, SIDE), (200, 90, 40))})
    plain, kept = (
        np.asarray(
            generate(parts, img2img(request_, color_correction=each), inputs=warm)[0], float
        ).mean(axis=(0, 1))
        for each in (False, True)
    )
    assert kept[0] - kept[2] > 40 > plain[0] - plain[2]


def test_each_picture_of_a_batch_is_the_one_made_alone(parts, request_):
    request = inpaint(request_, content="latent_noise")
    batch = generate(parts, request, count=2, inputs=INPUTS)
    alone = generate(parts, request, first=1, inputs=INPUTS)
    assert np.abs(np.asarray(batch[1], int) - np.asarray(alone[0], int)).max() <= 1
