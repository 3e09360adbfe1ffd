"""What begins with finished pictures."""

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.api.v1.conftest import b64, opened, picture


def single(here, status=200, **fields):
    answer = here.client().post(
        "/sdapi/v1/extra-single-image", json={"image": b64(picture(size=(32, 24))), **fields}
    )
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (32, 24)),  # without an upscaler the size stays
        ({"upscaler_1": "Lanczos"}, (64, 48)),
        ({"upscaler_1": "lanczos", "upscaling_resize": "1.5"}, (48, 36)),
        ({"upscaler_1": "Nearest", "resize_mode": 1, "upscaling_resize_w": 40,
          "upscaling_resize_h": 40}, (40, 40)),
        ({"upscaler_1": "Nearest", "resize_mode": "1", "upscaling_resize_w": 40,
          "upscaling_resize_h": 40, "upscaling_crop": False}, (40, 30)),
        ({"upscaler_1": "Lanczos", "upscaler_2": "Nearest",
          "extras_upscaler_2_visibility": 0.5}, (64, 48)),
    ],
)  # fmt: skip
def test_one_picture(here, fields, size):
    made = single(here, **fields)
    assert opened(made["image"]).size == size
    assert made["html_info"]


def test_a_batch(here):
    images = [{"data": b64(picture(each, (16, 16))), "name": each} for each in ("red", "blue")]
    answer = here.client().post(
        "/sdapi/v1/extra-batch-images", json={"imageList": images, "upscaler_1": "Nearest"}
    )
    assert answer.status_code == 200, answer.text
    made = [opened(each) for each in answer.json()["images"]]
    assert [each.size for each in made] == [(32, 32)] * 2
    assert [each.getpixel((0, 0)) for each in made] == [(255, 0, 0), (0, 0, 255)]
    before = sum(here.studio.counts().values())
    images[1]["data"] = "AAAA"
    answer = here.client().post("/sdapi/v1/extra-batch-images", json={"imageList": images})
    assert answer.status_code == 422
    assert sum(here.studio.counts().values()) == before  # all or none


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"upscaler_1": "nothing"}, 422, "nothing"),
        ({"gfpgan_visibility": 1}, 422, "gfpgan"),
        ({"codeformer_visibility": 0.5}, 422, "codeformer"),
        ({"gfpgan_visibility": 2}, 422, "gfpgan_visibility"),
        ({"upscaling_resize": 0}, 422, "upscaling_resize"),
        ({"upscaling_resize": 50, "upscaler_1": "Lanczos"}, 422, "50"),
        ({"image": ""}, 404, "Image not found"),
        ({"image": "http://127.0.0.1/x.png"}, 422, "base64"),
        ({"image": "AAAA"}, 422, ""),
    ],
)
def test_what_cannot_be(here, fields, status, words):
    assert words in str(single(here, status, **fields)["detail"])


def test_a_batch_needs_pictures(here):
    client = here.client()
    assert client.post("/sdapi/v1/extra-batch-images", json={}).status_code == 422
    answer = client.post("/sdapi/v1/extra-batch-images", json={"imageList": []})
    assert answer.status_code == 404


def test_what_a_picture_says_of_itself(here):
    text = (
        "a cat\nNegative prompt: dog\nSteps: 3, Sampler: Euler a, CFG scale: 7, Seed: 4, Size: 8x8"
    )
    said = PngInfo()
    said.add_text("parameters", text)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=said)
    import base64

    sent = base64.b64encode(buffer.getvalue()).decode()
    found = here.client().post("/sdapi/v1/png-info", json={"image": sent}).json()
    assert found["info"] == text and found["items"] == {"parameters": text}
    assert found["parameters"]["Seed"] == "4" and found["parameters"]["Prompt"] == "a cat"
    plain = here.client().post("/sdapi/v1/png-info", json={"image": b64(picture())}).json()
    assert plain == {"info": "", "items": {}, "parameters": {}}
    for image, status in (("", 404), ("AAAA", 422), ("%", 422)):
        answer = here.client().post("/sdapi/v1/png-info", json={"image": image})
        assert answer.status_code == status
    assert here.client().post("/sdapi/v1/png-info", json={}).status_code == 422


def test_words_for_a_picture(here):
    def ask(model):
        return here.client().post(
            "/sdapi/v1/interrogate", json={"image": b64(picture()), "model": model}
        )

    for model in ("clip", "deepdanbooru", "nothing"):
        answer = ask(model)
        assert answer.status_code == 422 and "Model not found" in answer.json()["detail"]
    assert here.client().post("/sdapi/v1/interrogate", json={"image": None}).status_code == 404

    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    folder = here.root / "models" / "interrogate" / "tiny"
    labels = {0: "cat, black", 1: "dog"}
    config = ViTConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        image_size=16, patch_size=8, id2label=labels, label2id={"cat, black": 0, "dog": 1},
    )  # fmt: skip
    model = ViTForImageClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([3.0, -3.0]))
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    answer = ask("deepdanbooru")
    assert (answer.status_code, answer.json()) == (200, {"caption": "cat, black"})
    assert ask("clip").status_code == 422
