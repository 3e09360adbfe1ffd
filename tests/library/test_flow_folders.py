"""Folders of the newer families: recognised, checked, loaded whole, or refused by name."""

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.errors import ModelFileError
from modules.library.load import load
from modules.library.scan import read_card, scan
from tests.fixtures.tiny_flow import make_flow


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def sd3(tmp_path):
    return make_flow(tmp_path / "checkpoints" / "tiny", "sd3")


def _change(path, **values):
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **values}))


def test_the_card_says_what_it_is(tmp_path, sd3):
    (card,) = scan(tmp_path).cards
    assert (card.name, card.family, card.variant, card.prediction_type) == (
        "tiny",
        "sd3",
        "base",
        "flow",
    )
    assert card.size_bytes > 0
    assert card.defaults.schedule == "default"


def test_without_a_card_the_family_says_how_it_is_used(sd3):
    (sd3 / "card.json").unlink()
    card = read_card(sd3)
    assert (card.defaults.width, card.defaults.steps, card.defaults.sampler) == (1024, 28, "euler")


def test_a_cards_defaults_go_over_those_of_the_family(sd3):
    (sd3 / "card.json").write_text(json.dumps({"defaults": {"steps": 4}}))
    card = read_card(sd3)
    assert (card.defaults.steps, card.defaults.sampler, card.defaults.width) == (4, "euler", 1024)


def test_weights_are_those_of_the_files(sd3):
    parts = load(read_card(sd3), "cpu")
    there = load_file(sd3 / "transformer" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(value, there[name]) for name, value in parts.unet.state_dict().items())
    t5 = load_file(sd3 / "text_encoder_3" / "model.safetensors")
    assert torch.equal(parts.text_encoder_3.shared.weight, t5["shared.weight"])
    assert not any(weight.requires_grad for part in parts.modules() for weight in part.parameters())


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "text_encoder_3", "vae"])
def test_a_missing_tensor_is_named(sd3, part):
    stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
    file = sd3 / part / f"{stem}.safetensors"
    tensors = load_file(file)
    # T5 keeps its words under two names, so one of another kind.
    name = sorted(name for name in tensors if "shared" not in name and "embed" not in name)[0]
    del tensors[name]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelFileError) as caught:
        load(read_card(sd3), "cpu")
    assert caught.value.key == "error.model.tensors"
    assert part in str(caught.value)


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "text_encoder_3", "vae"])
def test_a_missing_part_is_named(sd3, part):
    stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
    (sd3 / part / f"{stem}.safetensors").unlink()
    with pytest.raises(ModelFileError, match=part):
        read_card(sd3)


def test_a_class_that_nobody_knows_is_refused(sd3):
    _change(sd3 / "model_index.json", transformer=["diffusers", "FluxTransformer2DModel"])
    with pytest.raises(ModelFileError) as caught:
        read_card(sd3)
    assert caught.value.key == "error.model.class"


def test_another_scheduler_is_refused(sd3):
    _change(sd3 / "scheduler" / "scheduler_config.json", _class_name="EulerDiscreteScheduler")
    with pytest.raises(ModelFileError) as caught:
        read_card(sd3)
    assert caught.value.values["part"] == "scheduler"


def test_code_in_a_text_encoder_is_refused(sd3):
    _change(sd3 / "text_encoder" / "config.json", auto_map={"AutoModel": "evil.Model"})
    with pytest.raises(ModelFileError) as caught:
        read_card(sd3)
    assert caught.value.key == "error.model.code"


def test_half_precision(sd3):
    parts = load(read_card(sd3), "cpu", "bf16")
    kinds = {weight.dtype for part in parts.modules() for weight in part.parameters()}
    assert kinds == {torch.bfloat16} and parts.dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("flux1", "flux1"),
        ("flux2", "flux2"),
        ("klein", "flux2"),
        ("z_image", "z_image"),
        ("qwen_image", "qwen_image"),
    ],
)
def test_every_family_is_known_by_its_pipeline(tmp_path, kind, family):
    card = read_card(make_flow(tmp_path / kind, kind))
    assert (card.family, card.prediction_type) == (family, "flow")


def test_a_single_file_of_such_a_family_says_what_to_get(tmp_path, sd3):
    file = tmp_path / "one.safetensors"
    save_file({"joint_blocks.0.x_block.attn.qkv.weight": torch.zeros(12, 4)}, file)
    with pytest.raises(ModelFileError) as caught:
        read_card(file)
    assert caught.value.key == "error.model.folder_only"


def test_weights_in_half_precision_alone_are_enough(sd3):
    for part in ("transformer", "text_encoder", "text_encoder_3"):
        stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
        file = sd3 / part / f"{stem}.safetensors"
        tensors = {name: value.half() for name, value in load_file(file).items()}
        save_file(tensors, file.with_name(f"{stem}.fp16.safetensors"), {"format": "pt"})
        file.unlink()
    parts = load(read_card(sd3), "cpu", "fp32")
    assert all(part.dtype is torch.float32 for part in parts.text_encoders)
