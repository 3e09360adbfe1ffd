"""Words for a picture, by tiny models with random weights."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from extensions.captions.files import find, models
from extensions.captions.look import load
from extensions.captions.options import InterrogateOptions
from extensions.captions.plugin import InterrogateExtension
from extensions.captions.script import read
from extensions.captions.worker import InterrogateWorker
from modules.plugins import GenerationRequest, Host, UserError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "cat", "dog", "fish"]
SIZE = {"height": 32, "width": 32}


def make_captioner(folder):
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
    )

    torch.manual_seed(1)
    folder.mkdir(parents=True)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    config = BlipConfig(
        text_config={
            **small, "vocab_size": len(WORDS), "encoder_hidden_size": 16, "projection_dim": 16,
            "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0,
        },
        vision_config={**small, "image_size": 32, "patch_size": 16, "projection_dim": 16},
        projection_dim=16,
    )  # fmt: skip
    model = BlipForConditionalGeneration(config)
    with torch.no_grad():  # random weights would hardly look at the picture
        for weight in model.vision_model.parameters():
            weight.mul_(20)
    model.save_pretrained(folder, safe_serialization=True)
    BlipImageProcessor(size=SIZE).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS), "utf-8")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return model


def make_tagger(folder):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(2)
    folder.mkdir(parents=True)
    labels = {0: "1girl", 1: "cat", 2: "sky"}
    config = ViTConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=16, id2label=labels, label2id={v: k for k, v in labels.items()},
    )  # fmt: skip
    model = ViTForImageClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([2.0, -2.0, 4.0]))
    model.save_pretrained(folder, safe_serialization=True)
    ViTImageProcessor(size=SIZE).save_pretrained(folder)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    make_captioner(root / "interrogate" / "blip-tiny")
    make_tagger(root / "interrogate" / "wd-tiny")
    other = root / "interrogate" / "other"
    other.mkdir()
    (other / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}', "utf-8")
    pickled = root / "interrogate" / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text(
        json.dumps({"architectures": ["BlipForConditionalGeneration"]}), "utf-8"
    )
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    return Host("captions", root, root, root / "data", "cpu")


def picture(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 48, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("clip", "blip-tiny"), ("", "blip-tiny"), ("BLIP-Tiny", "blip-tiny"),
        ("deepdanbooru", "wd-tiny"), ("wd-tiny", "wd-tiny"),
    ],
)  # fmt: skip
def test_models_by_name_and_by_what_clients_ask_for(host, asked, name):
    assert find(host, asked).name == name
    assert [each.name for each in models(host)] == ["blip-tiny", "wd-tiny"]


@pytest.mark.parametrize("asked", ["nothing", "pickled", "other", "../x"])
def test_a_model_that_is_not_there(host, asked):
    with pytest.raises(UserError, match="Model not found"):
        find(host, asked)
    with pytest.raises(UserError, match="Model not found"):
        read({"model": asked}, str, host)
    with pytest.raises(UserError, match="Model not found"):
        InterrogateExtension(host).check_request(InterrogateOptions(model=asked))


def test_a_caption_is_the_models_own(host):
    look = load(host, find(host, "clip"))
    words = look(picture(), 0.5)
    assert words == look(picture(), 0.5)
    assert words and set(words.split()) <= set(WORDS)


def test_tags_above_the_threshold_the_surest_first(host):
    look = load(host, find(host, "deepdanbooru"))
    assert look(picture(), 0.5) == "sky, 1girl"
    assert look(picture(), 0.95) == "sky"
    assert look(picture(), 0.999) == ""


def test_the_step_leaves_the_picture_and_says_what_it_saw(host):
    worker = InterrogateWorker(host)
    options = InterrogateOptions(enabled=True, model="wd-tiny")
    (step,) = worker.register_finishers(GenerationRequest(), options)
    before = picture()
    assert step.finish(before, GenerationRequest(), 0).tobytes() == before.tobytes()
    assert step.infotext() == {"Caption": "sky, 1girl", "Caption model": "wd-tiny"}


def test_damaged_files_are_said(host, tmp_path):
    make_tagger(tmp_path / "interrogate" / "broken")
    (tmp_path / "interrogate" / "broken" / "model.safetensors").write_bytes(b"nothing")
    broken = Host("captions", tmp_path, tmp_path, tmp_path / "data", "cpu")
    with pytest.raises(UserError, match="broken"):
        load(broken, find(broken, "tags"))


def test_what_clients_send(host):
    assert read({"model": "clip"}, str, host) == {"enabled": True, "model": "blip-tiny"}
    assert read([{"model": "wd-tiny", "threshold": 0.2}], str, host)["threshold"] == 0.2
    assert read([], str, host) is None and read([{"enabled": False}], str, host) is None
