"""txt2img and img2img as programs of the field send them."""

import json
import threading
import time
from types import SimpleNamespace

import pytest
from PIL import Image

from modules.api.v1.generate import receipt
from modules.imaging import metadata
from modules.plugins import Script
from modules.schema import GenerationRequest, JobState
from tests.api.callers import BERT
from tests.api.v1.conftest import b64, opened, picture
from tests.services.fakes import Held, colour

SMALL = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64}
INFO = set(
    """prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds subseed_strength
    width height sampler_name cfg_scale steps batch_size restore_faces face_restoration_model sd_model_name
    sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength
    extra_generation_params index_of_first_image infotexts styles job_timestamp clip_skip
    is_using_inpainting_conditioning version""".split()  # noqa: SIM905 - as the reference lists them
)


def txt2img(client, **fields):
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def img2img(client, **fields):
    sent = {**SMALL, "init_images": [b64(picture())], **fields}
    answer = client.post("/sdapi/v1/img2img", json=sent)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client, route="txt2img", **fields):
    answer = client.post(f"/sdapi/v1/{route}", json={**SMALL, **fields})
    assert 400 <= answer.status_code < 500, answer.text
    return answer.status_code, answer.json()["detail"]


def test_pictures_and_what_is_said_of_them(here):
    made = txt2img(here.client(), seed=7, n_iter=2, negative_prompt="dog")
    assert set(made) == {"images", "parameters", "info"}
    for number, text in enumerate(made["images"]):
        image = opened(text)
        assert image.getpixel((0, 0)) == colour(GenerationRequest(seed=7), number)
        assert metadata.decode(image).request.prompt == "a cat"
    info = json.loads(made["info"])
    assert set(info) >= INFO
    assert {key for key in INFO if info[key] is None} <= {
        "sd_vae_name", "sd_vae_hash", "denoising_strength", "face_restoration_model",
    }  # fmt: skip
    assert info["all_seeds"] == [7, 8] and info["all_prompts"] == ["a cat"] * 2
    assert info["infotexts"][1].startswith("a cat\nNegative prompt: dog\nSteps: 2")
    assert (info["sd_model_name"], info["sd_model_hash"]) == ("tiny", "0123456789")
    assert isinstance(info["job_timestamp"], str) and info["warnings"] == []
    assert made["parameters"]["seed"] == 7 and made["parameters"]["hr_scale"] == 2.0


def test_the_defaults_are_the_apis_own(here):
    made = here.client().post("/sdapi/v1/txt2img", json={})
    assert made.status_code == 200
    asked = here.last()
    assert (asked.steps, asked.cfg_scale, asked.sampler, asked.schedule) == (
        50, 7.0, "euler", "automatic",
    )  # fmt: skip
    assert (asked.width, asked.height) == (64, 64)  # 512 is beyond this model
    assert "512 x 512" in json.loads(made.json()["info"])["warnings"][0]
    echo = made.json()["parameters"]
    assert (echo["width"], echo["sampler_index"], echo["steps"]) == (512, "Euler", 50)


def test_null_is_the_default_and_unknown_keys_are_nothing(here):
    nothing = dict.fromkeys(
        ("styles", "hr_upscaler", "sampler_name", "seed", "override_settings", "alwayson_scripts")
    )
    made = txt2img(here.client(), **nothing, controlnet_units=[1], whatever={"a": None})
    assert "whatever" not in made["parameters"]


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ({"steps": "3"}, "steps", 3),
        ({"cfg_scale": "2.5"}, "cfg_scale", 2.5),
        ({"sampler_name": "DPM++ 2M Karras"}, "schedule", "karras"),
        ({"sampler_name": "DPM++ 2M", "scheduler": "Karras"}, "schedule", "karras"),
        ({"sampler_name": "k_euler_a", "scheduler": "automatic"}, "sampler", "euler_a"),
        ({"sampler_index": "DDIM"}, "sampler", "ddim"),
        ({"tiling": True}, "tiling", "both"),
        ({"seed": "12"}, "seed", 12),
        ({"batch_size": 2, "n_iter": 1}, "batch_size", 2),
        ({"prompt": 12}, "prompt", "12"),
        ({"prompt": "a <lora:x> b", "disable_extra_networks": True}, "prompt", "a  b"),
        ({"subseed": 5, "subseed_strength": 0.5}, "variation.strength", 0.5),
        ({"seed_resize_from_w": 32, "seed_resize_from_h": 48}, "seed_resize.height", 48),
        ({"seed_resize_from_w": 0, "seed_resize_from_h": -1}, "seed_resize", None),
        ({"eta": 1.0, "sampler_name": "Euler a"}, "sampler_options.eta", None),
        ({"eta": 0.5, "sampler_name": "Euler a"}, "sampler_options.eta", 0.5),
        ({"eta": 1.0, "sampler_name": "DPM++ 2M"}, "sampler_options.eta", None),
        ({"eta": 1.0, "sampler_name": "DDIM"}, "sampler_options.eta", 1.0),
        ({"s_tmax": 0, "s_churn": 0}, "sampler_options.s_tmax", None),
        ({"s_churn": 2}, "sampler_options.s_churn", 2.0),
        ({"refiner_checkpoint": "other.safetensors"}, "refiner.model", "other"),
        ({"override_settings": {"CLIP_stop_at_last_layers": "2"}}, "clip_skip", 2),
        ({"override_settings": {"randn_source": "GPU"}}, "rng", "nv"),
        ({"override_settings": {"emphasis": "No norm"}}, "emphasis", "no_norm"),
        ({"override_settings": {"sd_model_checkpoint": "other"}}, "model", "other"),
        ({"override_settings": {"sd_model_checkpoint": "tiny [0123456789]"}}, "model", "tiny"),
        ({"override_settings": {"sd_model_checkpoint": "0123456789"}}, "model", "tiny"),
        ({"override_settings": {"eta_ddim": 0.3}, "sampler_name": "DDIM"}, "sampler_options.eta", 0.3),
    ],
)  # fmt: skip
def test_what_is_sent_is_what_is_asked_for(here, sent, field, value):
    txt2img(here.client(), **sent)
    found = here.last()
    for name in field.split("."):
        found = getattr(found, name)
    assert found == value


def test_hires(here):
    client = here.client()
    txt2img(client, enable_hr=True, hr_upscaler="latent", hr_prompt="a dog", hr_sampler_name="Heun")
    hires = here.last().hires
    assert (hires.upscaler, hires.scale, hires.prompt, hires.sampler) == (
        "Latent", 2.0, "a dog", "heun",
    )  # fmt: skip
    assert hires.denoising_strength == 0.75 and hires.steps == 0
    same = {"hr_sampler_name": "Use same sampler", "hr_checkpoint_name": "Use same checkpoint"}
    txt2img(client, enable_hr=True, hr_resize_x=96, hr_resize_y=80, **same)
    assert here.last().hires.size(64, 64) == (96, 80) and here.last().hires.sampler is None
    txt2img(
        client, enable_hr=True, width=192, height=128, firstphase_width=96, firstphase_height=64
    )
    assert (here.last().width, here.last().hires.size(96, 64)) == (96, (192, 128))
    assert "hr_checkpoint_name" in refused(client, enable_hr=True, hr_checkpoint_name="other")[1]


def test_a_distilled_model_is_told_its_own_number(here):
    client = here.client()
    flow = {"override_settings": {"sd_model_checkpoint": "flow"}, "sampler_name": "Euler"}
    txt2img(client, **flow)
    assert here.last().cfg_scale == 3.5
    txt2img(client, cfg_scale=2.0, **flow)
    assert here.last().cfg_scale == 2.0
    txt2img(client, cfg_scale=1.0, distilled_cfg_scale=4.0, eta=1.0, s_noise=1, **flow)
    assert here.last().cfg_scale == 4.0


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"sampler_name": "nothing"}, 400, "nothing"),
        ({"scheduler": "nothing"}, 422, "nothing"),
        ({"enable_hr": True, "hr_upscaler": "nothing"}, 422, "nothing"),
        ({"refiner_checkpoint": "nothing"}, 422, "nothing"),
        ({"override_settings": {"sd_model_checkpoint": "nothing"}}, 422, "nothing"),
        ({"override_settings": {"sd_vae": "nothing"}}, 422, "nothing"),
        ({"override_settings": {"nothing": 1}}, 422, "nothing"),
        ({"override_settings": {"CLIP_stop_at_last_layers": "two"}}, 422, "two"),
        ({"override_settings": {"emphasis": "loud"}}, 422, "loud"),
        ({"alwayson_scripts": {"nothing": {"args": []}}}, 422, "nothing"),
        ({"alwayson_scripts": {"freeu": {"args": 5}}}, 422, "freeu"),
        ({"alwayson_scripts": {"freeu": {"args": {"b9": 1}}}}, 422, "b9"),
        ({"script_name": "nothing"}, 422, "nothing"),
        ({"styles": ["nothing"]}, 422, "nothing"),
        ({"restore_faces": True}, 422, "GFPGAN"),
        ({"steps": 5000}, 422, "5000"),
        ({"width": 4096}, 422, "4096"),
        ({"cfg_scale": 1000}, 422, "1000"),
        ({"seed": 2**40}, 422, ""),
        ({"batch_size": 0}, 422, ""),
        ({"firstpass_image": "AAAA"}, 422, "firstpass_image"),
    ],
)
def test_names_that_are_none_are_refused(here, fields, status, words):
    before = sum(here.studio.counts().values())
    found, detail = refused(here.client(), **fields)
    assert found == status and words in detail
    assert sum(here.studio.counts().values()) == before


def test_types_that_are_wrong_are_listed(here):
    for fields in ({"steps": "many"}, {"prompt": ["a"]}, {"width": 1.5}, {"enable_hr": "perhaps"}):
        status, detail = refused(here.client(), **fields)
        assert status == 422 and detail[0]["loc"][-1] == next(iter(fields))
    body = '{"prompt": "a", "cfg_scale": NaN}'
    answer = here.client().post(
        "/sdapi/v1/txt2img", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert here.client().get("/sdapi/v1/txt2img").status_code == 405


def by_hand(here, body):
    return here.client().post(
        "/sdapi/v1/txt2img", content=body, headers={"content-type": "application/json"}
    )


def test_half_an_emoji_is_refused_and_numbers_that_are_none_are_no_fault(here):
    answer = by_hand(here, r'{"prompt": "a \ud83d cat", "negative_prompt": "b"}')
    (row,) = answer.json()["detail"]
    assert (answer.status_code, row["loc"]) == (422, ["body", "prompt"])
    assert "half a character (U+D83D, character 3)" in row["msg"]
    answer = by_hand(
        here, '{"prompt": "a", "steps": 2, "width": 64, "height": 64, "comments": {"a": NaN}}'
    )
    assert answer.status_code in (200, 422)
    assert "NaN" not in answer.text


@pytest.mark.parametrize("fields", [{"steps": True}, {"cfg_scale": False}, {"hr_scale": True}])
def test_a_boolean_is_no_number(here, fields):
    status, detail = refused(here.client(), **fields)
    (row,) = detail
    assert (status, row["loc"][-1]) == (422, next(iter(fields)))
    status, detail = refused(here.client(), override_settings={"CLIP_stop_at_last_layers": True})
    assert status == 422 and "CLIP_stop_at_last_layers" in detail


def test_switches_take_numbers_and_numbers_take_texts(here):
    body = {**SMALL, "enable_hr": 0, "send_images": 1, "tiling": 1, "steps": "3"}
    assert len(here.client().post("/sdapi/v1/txt2img", json=body).json()["images"]) == 1
    assert (here.last().steps, here.last().tiling, here.last().hires) == (3, "both", None)


def test_a_tag_that_names_nothing_is_a_warning(here):
    made = txt2img(here.client(), prompt="a cat <lora:nothing:0.8> <what:ever>")
    assert "nothing" in json.loads(made["info"])["warnings"][0]
    assert here.last().prompt == "a cat  <what:ever>" and len(made["images"]) == 1


def test_settings_without_effect_are_told_and_stay_with_the_job(here):
    client = here.client()
    made = txt2img(client, override_settings={"samples_save": True, "eta_noise_seed_delta": 31337})
    assert "samples_save" in json.loads(made["info"])["warnings"][0]
    assert here.last().sampler_options.eta_noise_seed_delta == 31337
    txt2img(client, override_settings={"sd_model_checkpoint": "other"},
            override_settings_restore_afterwards=False)  # fmt: skip
    txt2img(client)
    assert here.last().model == "tiny" and here.last().sampler_options.eta_noise_seed_delta == 0
    assert client.get("/sdapi/v1/options").json()["sd_model_checkpoint"].startswith("tiny")


def test_extensions_are_called_as_scripts(here):
    client = here.client()
    txt2img(client, alwayson_scripts={"FREEU": {"args": [True, 1.1]}})
    assert here.last().extras["freeu"]["b1"] == 1.1
    txt2img(client, alwayson_scripts={"freeu": {"args": [{"b2": 1.3}]}, "Frame": {"args": []}})
    assert here.last().extras["freeu"]["b2"] == 1.3 and "frame" not in here.last().extras
    txt2img(client, script_name="frame", script_args=[True, 10])
    assert here.last().extras["frame"]["width"] == 10
    txt2img(client, script_name="None", alwayson_scripts={"freeu": {"args": {"enabled": False}}})
    assert here.last().extras == {}
    made = txt2img(client, styles=["Oil painting"])
    assert "oil painting of" in json.loads(made["info"])["prompt"].lower()


def test_formats_and_no_pictures(here):
    client = here.client()
    made = txt2img(client, override_settings={"samples_format": "jpg"})
    image = opened(made["images"][0])
    assert image.format == "JPEG" and metadata.decode(image).infotext.startswith("a cat")
    assert txt2img(client, send_images=False)["images"] == []
    assert refused(client, override_settings={"samples_format": "bmp"})[0] == 422


def test_a_text_fills_what_was_left_open(here):
    text = (
        "a dog\nNegative prompt: cat\nSteps: 3, Sampler: Heun, Schedule type: Karras, CFG scale: 4, "
        "Seed: 99, Size: 72x80, Model: other, Clip skip: 2, Hires upscale: 1.5, Hires upscaler: Latent, "
        "Denoising strength: 0.4"
    )
    answer = here.client().post("/sdapi/v1/txt2img", json={"infotext": text, "steps": 2})
    assert answer.status_code == 200, answer.text
    asked = here.last()
    assert (asked.prompt, asked.negative_prompt, asked.steps, asked.seed) == ("a dog", "cat", 2, 99)
    assert (asked.sampler, asked.schedule, asked.width, asked.height) == ("heun", "karras", 72, 80)
    assert (asked.model, asked.clip_skip, asked.cfg_scale) == ("other", 2, 4)
    assert (asked.hires.scale, asked.hires.denoising_strength) == (1.5, 0.4)


def test_a_text_fills_options_of_extensions_that_were_left_open(here):
    text = 'a dog\nSteps: 2, Seed: 9, Size: 64x64, frame width: 7, frame colour: "#102030"'
    body = {**SMALL, "infotext": text}
    assert here.client().post("/sdapi/v1/txt2img", json=body).status_code == 200
    told = {"enabled": True, "width": 7, "colour": "#102030", "text": ""}
    assert here.last().extras == {"frame": told}
    body |= {"alwayson_scripts": {"Frame": {"args": [{"width": 3}]}}}
    assert here.client().post("/sdapi/v1/txt2img", json=body).status_code == 200
    assert here.last().extras["frame"]["width"] == 3


# ------------------------------------------------------------------------------------------------- img2img


def test_a_picture_to_begin_with(here):
    client = here.client()
    made = img2img(client, denoising_strength=0.5, resize_mode=1, seed=3)
    group = here.last().img2img
    assert (group.denoising_strength, group.resize_mode) == (0.5, "crop_and_resize")
    assert here.studio.inputs.pictures.open(group.image).getpixel((0, 0)) == (255, 0, 0)
    echo = made["parameters"]
    assert echo["init_images"] is None and echo["inpaint_full_res"] is True
    kept = img2img(client, include_init_images=True)["parameters"]
    assert kept["init_images"] == [b64(picture())]
    assert json.loads(made["info"])["denoising_strength"] == 0.5


def test_a_mask(here):
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    sent = {"mask": f"data:image/png;base64,{b64(mask)}"}
    img2img(here.client(), **sent)
    inpaint = here.last().img2img.inpaint
    assert (inpaint.area, inpaint.content, inpaint.padding, inpaint.blur, inpaint.mode) == (
        "only_masked", "fill", 0, 4, "masked",
    )  # fmt: skip
    more = {"inpaint_full_res": 0, "inpainting_fill": "1", "inpainting_mask_invert": True}
    made = img2img(here.client(), **sent, **more, mask_blur_x=2, mask_blur_y=6, mask_round=False)
    inpaint = here.last().img2img.inpaint
    assert (inpaint.area, inpaint.content, inpaint.mode, inpaint.blur) == (
        "whole_picture", "original", "not_masked", 6,
    )  # fmt: skip
    assert len(json.loads(made["info"])["warnings"]) == 2
    layer = picture("white", mode="RGBA")
    layer.putalpha(mask)
    img2img(here.client(), mask=b64(layer))


def test_several_pictures_to_begin_with(here):
    images = [b64(picture(each)) for each in ("red", "blue")]
    made = img2img(here.client(), init_images=images, batch_size=2, n_iter=2, seed=10)
    assert len(made["images"]) == 4
    assert json.loads(made["info"])["all_seeds"] == [10, 11, 12, 13]
    numbers = json.loads(made["info"])["job_ids"]
    first = [here.studio.job(number).request.img2img.image for number in numbers]
    assert first[0] == first[2] != first[1] == first[3]
    status, _ = refused(here.client(), "img2img", init_images=images, batch_size=1)
    assert status == 422


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 404, "Init image not found"),
        ({"init_images": []}, 404, "Init image not found"),
        ({"init_images": ["http://x/y.png"]}, 422, "base64"),
        ({"init_images": ["AAAA"]}, 422, ""),
        ({"init_images": ["%"]}, 422, "base64"),
        ({"init_images": [b64(picture())], "resize_mode": 9}, 422, "resize_mode"),
        ({"init_images": [b64(picture())], "mask": "AAAA"}, 422, ""),
        ({"init_images": [b64(picture())], "latent_mask": "AAAA"}, 422, "latent_mask"),
        ({"init_images": [b64(picture())], "mask": b64(picture("black"))}, 422, ""),
    ],
)
def test_pictures_that_cannot_be(here, fields, status, words):
    found, detail = refused(here.client(), "img2img", **fields)
    assert found == status and words in str(detail)


# ------------------------------------------------------------------------------------------------- waiting


def test_it_waits_without_holding_anybody_up(here):
    client = here.client()
    waiting = threading.Thread(target=lambda: txt2img(here.client(), steps=10))
    with Held(here.engine) as held:
        waiting.start()
        assert held.reached.wait(60)
        assert client.get("/sdapi/v1/samplers").status_code == 200
        assert client.get("/sdapi/v1/progress").json()["state"]["job_count"] == 1
        assert here.client(BERT).get("/sdapi/v1/progress").json()["state"]["job_count"] == 0
    waiting.join()


def test_nobody_gets_anothers_pictures(here):
    found = {}

    def ask(seed):
        visitor = f"{seed:032x}"
        answer = here.client(visitor).post("/sdapi/v1/txt2img", json={**SMALL, "seed": seed})
        found[seed] = opened(answer.json()["images"][0]).getpixel((0, 0))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(1000, 1016)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {seed: colour(GenerationRequest(seed=seed), 0) for seed in range(1000, 1016)}


def test_hanging_up_cancels_nothing(here, server):
    import socket

    here.engine.seconds = 0.05
    body = json.dumps({**SMALL, "steps": 10, "seed": 4242}).encode()
    head = (
        "POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(server) as link:
        link.sendall(head.encode() + body)
        until = time.monotonic() + 60
        while here.last().seed != 4242 and time.monotonic() < until:
            time.sleep(0.02)
    job = here.studio.jobs(limit=1)[0]
    while not here.studio.job(job.id).state.finished and time.monotonic() < until:
        time.sleep(0.05)
    assert here.studio.job(job.id).state is JobState.DONE
    assert len(here.studio.job(job.id).pictures) == 1


def test_what_fails_is_said(here):
    def before(stage, step):
        raise ValueError("oops")

    here.engine.before = before
    answer = here.client().post("/sdapi/v1/txt2img", json=SMALL)
    assert answer.status_code == 500 and "oops" in answer.json()["detail"]


# ---------------------------------------------------------------------------------------- pictures of scripts


def test_pictures_of_scripts_follow_unless_the_setting_says_otherwise(here, monkeypatch):
    offered = []

    def builder(extension, entry, **given):
        offered.append((extension, entry, given))
        return lambda options: [picture("blue", (10 + options.width, 8))]

    row = Script("Frame", images="x:maps")
    monkeypatch.setattr(here.plugins, "scripts", lambda: (("frame", row),))
    monkeypatch.setattr(here.plugins, "builder", builder)
    called = {"alwayson_scripts": {"Frame": {"args": [{"width": 3}]}}}
    made = txt2img(here.client(), n_iter=2, **called)
    assert [opened(each).size[0] for each in made["images"]][2:] == [13]
    assert len(json.loads(made["info"])["infotexts"]) == 2
    assert offered == [("frame", "x:maps", {"receipt": None})]
    off = {"override_settings": {"control_net_no_detectmap": True}}
    made = txt2img(here.client(), **off, **called)
    assert len(made["images"]) == 1 and len(offered) == 1
    assert json.loads(made["info"])["warnings"] == []


def test_a_script_is_handed_what_its_extension_kept_in_the_first_picture(tmp_path):
    files = [tmp_path / "0.png", tmp_path / "1.png"]
    for number, file in enumerate(files):
        receipts = {"frame": [{"map": str(number)}]}
        data = metadata.encode(
            picture(), GenerationRequest(), "", job="j", index=number, receipts=receipts
        )
        file.write_bytes(data)
    studio = SimpleNamespace(picture_file=lambda number: files[number])
    job = SimpleNamespace(pictures=[SimpleNamespace(id=0), SimpleNamespace(id=1)])
    assert receipt(studio, job, "frame") == [{"map": "0"}]
    assert receipt(studio, job, "freeu") is None
    assert receipt(studio, SimpleNamespace(pictures=[]), "frame") is None
