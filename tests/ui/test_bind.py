"""Named values of the page become a request, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.errors import UserError
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
from modules.ui.bind import field_name, from_request, mode_of, to_request


def test_numbers_arrive_as_the_browser_sends_them():
    request = to_request(
        {"prompt": "x", "width": 512.0, "steps": "20", "seed": -1.0, "cfg_scale": 7}
    )
    assert request.width == 512
    assert request.steps == 20
    assert request.seed == -1
    assert request.cfg_scale == 7.0


def test_an_empty_control_means_what_the_card_says():
    request = to_request({"prompt": "", "width": None, "sampler": "", "model": None})
    assert request == GenerationRequest()


def test_options_of_an_extension_travel_under_its_name():
    request = to_request({field_name("freeu", "enabled"): True, field_name("freeu", "b1"): 1.5})
    assert request.extras == {"freeu": {"enabled": True, "b1": 1.5}}


def test_a_panel_that_is_off_leaves_no_trace():
    request = to_request({field_name("freeu", "enabled"): False, field_name("freeu", "b1"): 1.5})
    assert request.extras == {}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"width": 12.5}, "width"),
        ({"seed": 1.5}, "seed"),
        ({"steps": "many"}, "steps"),
        ({"seed": 2**40}, "seed"),
        ({"cfg_scale": float("nan")}, "cfg_scale"),
        ({"cfg_scale": float("inf")}, "cfg_scale"),
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt": "a \ud83d"}, "prompt"),
        ({"batch_size": 0}, "batch_size"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values: dict[str, object], named: str):
    with pytest.raises(UserError) as caught:
        to_request(values)
    assert caught.value.values["field"] == named
    assert "Input should" not in str(caught.value)


@given(
    prompt=st.text(max_size=200),
    width=st.integers(8, 4096),
    seed=st.integers(-1, 2**32 - 1),
    cfg=st.floats(0, 100),
    scale=st.floats(0, 2),
)
def test_there_and_back(prompt: str, width: int, seed: int, cfg: float, scale: float):
    extras = {"freeu": {"enabled": True, "b1": scale}}
    request = GenerationRequest(prompt=prompt, width=width, seed=seed, cfg_scale=cfg, extras=extras)
    assert to_request(from_request(request)) == request


A, B = "a" * 64, "b" * 64
OFF = {
    "hires__enabled": False,
    "hires__scale": 2,
    "hires__upscaler": "Latent",
    "refiner__model": "",
    "refiner__switch_at": 0.8,
    "variation__seed": 7,
    "variation__strength": 0,
    "seed_resize__width": "",
    "seed_resize__height": "",
    "sampler_options__eta": "",
    "sampler_options__s_noise": 1,
    "guidance__rescale": 0,
    "guidance__end": 1,
}


def test_groups_that_are_off_leave_no_trace():
    assert to_request({"prompt": "x", **OFF}) == GenerationRequest(prompt="x")


def test_groups_that_are_on():
    request = to_request(
        {
            **OFF,
            "hires__enabled": True,
            "hires__sampler": "",
            "hires__cfg_scale": "4.5",
            "hires__width": "640",
            "refiner__model": "other",
            "variation__strength": 0.25,
            "seed_resize__width": "512",
            "seed_resize__height": "384",
            "sampler_options__eta": "0",
            "sampler_options__rho": "5",
            "guidance__rescale": 0.7,
        }
    )
    assert request.hires == Hires(scale=2, cfg_scale=4.5, width=640)
    assert request.refiner == Refiner(model="other", switch_at=0.8)
    assert request.variation == Variation(seed=7, strength=0.25)
    assert request.seed_resize == SeedResize(width=512, height=384)
    assert request.sampler_options == SamplerOptions(eta=0, rho=5)
    assert request.guidance == Guidance(rescale=0.7)


SOURCE = {
    "img2img__image": A,
    "img2img__denoising_strength": 0.5,
    "inpaint__mask": B,
    "inpaint__blur": 2,
    "soft__enabled": False,
    "soft__mask_influence": 0.5,
    "outpaint__left": 64,
    "outpaint__blur": 8,
}


def test_each_way_of_work_takes_its_own_fields():
    def of(mode: str, **more: object) -> Img2Img:
        made = to_request({**SOURCE, "img2img__mode": mode, **more}).img2img
        assert made is not None
        return made

    plain = Img2Img(image=A, denoising_strength=0.5)
    assert of("img2img") == plain
    assert of("sketch") == plain
    assert of("inpaint") == plain.model_copy(update={"inpaint": Inpaint(mask=B, blur=2)})
    assert of("outpaint") == plain.model_copy(update={"outpaint": Outpaint(left=64, blur=8)})
    soft = of("inpaint", soft__enabled=True).inpaint
    assert soft is not None
    assert soft.soft == SoftInpainting(mask_influence=0.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"img2img__image": ""}, "Choose a picture to begin with"),
        ({"img2img__mode": "inpaint", "inpaint__mask": ""}, "Nothing is masked"),
        ({"img2img__mode": "outpaint", "outpaint__left": 0}, "Say by how many pixels"),
        ({"img2img__mode": "magic"}, "magic"),
        ({"img2img__image": "../../etc/passwd"}, "passwd"),
    ],
)
def test_what_img2img_needs_is_said(change: dict[str, object], said: str):
    with pytest.raises(UserError) as caught:
        to_request({**SOURCE, "img2img__mode": "img2img", **change})
    assert said in caught.value.message("en")


@pytest.mark.parametrize(
    "request_",
    [
        GenerationRequest(hires=Hires(scale=1.5, steps=7, prompt="finer", cfg_scale=3)),
        GenerationRequest(refiner=Refiner(model="r", switch_at=0.6), vae="v", tiling="x"),
        GenerationRequest(variation=Variation(seed=3, strength=0.2)),
        GenerationRequest(seed_resize=SeedResize(width=512, height=768), rng="nv"),
        GenerationRequest(guidance=Guidance(rescale=0.3), sampler_options=SamplerOptions(eta=0)),
        GenerationRequest(img2img=Img2Img(image=A, resize_mode="crop_and_resize")),
        GenerationRequest(img2img=Img2Img(image=A, inpaint=Inpaint(mask=B, soft=SoftInpainting()))),
        GenerationRequest(img2img=Img2Img(image=A, outpaint=Outpaint(up=32))),
    ],
)
def test_every_group_comes_back(request_: GenerationRequest):
    values = from_request(request_)
    assert to_request(values) == request_
    if request_.img2img is not None:
        assert values["img2img__mode"] == mode_of(request_)
