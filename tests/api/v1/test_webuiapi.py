"""The client from PyPI that people use against this API, unmodified, over a socket."""

import pytest
import webuiapi
from PIL import Image

from modules.schema import GenerationRequest
from tests.api.v1.conftest import picture
from tests.services.fakes import colour


@pytest.fixture
def api(server):
    host, port = server
    made = webuiapi.WebUIApi(host=host, port=port, steps=2)
    yield made
    made.session.close()


SMALL = {"width": 64, "height": 64}


def test_txt2img(api):
    made = api.txt2img(prompt="a cat", negative_prompt="dog", seed=1003, cfg_scale=7, **SMALL)
    assert made.image.getpixel((0, 0)) == colour(GenerationRequest(seed=1003), 0)
    assert made.info["seed"] == 1003 and made.info["prompt"] == "a cat"
    assert made.parameters["steps"] == 2
    more = api.txt2img(prompt="a cat", styles=["Oil painting"], batch_size=2, n_iter=2, **SMALL)
    assert len(more.images) == 4 and len(more.info["all_seeds"]) == 4
    hires = api.txt2img(
        prompt="a cat", enable_hr=True, hr_scale=2, hr_upscaler=webuiapi.HiResUpscaler.Latent,
        hr_second_pass_steps=2, denoising_strength=0.4, **SMALL,
    )  # fmt: skip
    assert hires.info["denoising_strength"] == 0.4


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M", "DDIM", "DPM++ 2M SDE", "UniPC"])
def test_every_sampler_goes_with_its_defaults(api, sampler):
    assert api.txt2img(prompt="a cat", sampler_name=sampler, **SMALL).images


def test_img2img_and_inpainting(api):
    made = api.img2img(images=[picture()], prompt="a dog", seed=5, **SMALL)
    assert made.info["seed"] == 5 and made.parameters["init_images"] is None
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    painted = api.img2img(
        images=[picture()],
        mask_image=mask,
        inpainting_fill=1,
        prompt="a dog",
        cfg_scale=5.0,
        **SMALL,
    )
    assert painted.image.size == (64, 64)
    two = api.img2img(images=[picture(), picture("blue")], batch_size=2, **SMALL)
    assert len(two.images) == 2


def test_extras_and_png_info(api):
    made = api.txt2img(prompt="a cat", seed=77, **SMALL)
    large = api.extra_single_image(
        image=made.image, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=1.5
    )
    assert large.image.size == (96, 96) and large.info
    batch = api.extra_batch_images(
        images=[made.image, picture()], upscaler_1="Nearest", upscaling_resize=2
    )
    assert [each.size for each in batch.images] == [(128, 128)] * 2
    said = api.png_info(made.image)
    assert "a cat" in said.info and said.parameters["Seed"] == "77"


def test_everything_that_it_lists(api):
    assert "Euler a" in api.util_get_sampler_names()
    assert "karras" in api.util_get_scheduler_names()
    assert api.util_get_model_names()[-1] == "tiny.safetensors [0123456789]"
    assert api.get_cmd_flags()["port"] and isinstance(api.get_sd_vae(), list)
    for call in (
        api.get_upscalers,
        api.get_latent_upscale_modes,
        api.get_sd_models,
        api.get_face_restorers,
        api.get_prompt_styles,
        api.get_samplers,
        api.get_schedulers,
    ):
        assert call()[0]["name" if call != api.get_sd_models else "title"]
    for call in (api.get_loras, api.get_hypernetworks, api.get_realesrgan_models):
        assert isinstance(call(), list)
    assert "loaded" in api.get_embeddings() and api.get_memory()["ram"]
    assert "freeu" in api.get_scripts()["txt2img"]
    assert api.refresh_checkpoints() is None
    assert api.has_controlnet is False and api.has_adetailer is False


def test_settings_models_and_progress(api):
    api.util_wait_for_ready(check_interval=0.1)
    assert api.get_progress()["progress"] == 0.0
    assert api.interrupt() == {} and api.skip() is None
    assert api.util_get_current_model().startswith("tiny")
    api.util_set_model("other.safetensors")
    assert api.util_get_current_model() == "other.safetensors"
    assert api.txt2img(prompt="a cat", **SMALL).info["sd_model_name"] == "other"
    api.set_options({"sd_model_checkpoint": "tiny"})
    assert api.get_options()["sd_model_checkpoint"].startswith("tiny")


def test_errors_reach_its_caller(api):
    with pytest.raises(RuntimeError) as refused:
        api.txt2img(prompt="a cat", sampler_name="nothing", **SMALL)
    assert refused.value.args[0] == 400 and "nothing" in refused.value.args[1]
    with pytest.raises(RuntimeError) as refused:
        api.txt2img(prompt="a cat", alwayson_scripts={"nothing": {"args": []}}, **SMALL)
    assert refused.value.args[0] == 422
    with pytest.raises(RuntimeError) as refused:
        api.img2img(images=[])
    assert refused.value.args[0] == 404
