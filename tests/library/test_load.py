"""Loading: quietly, exactly, and never a model with random weights in it."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.errors import ModelFileError, UserError
from modules.library.load import load
from modules.library.precision import LARGE, pick_device, pick_dtype
from modules.library.scan import read_card

UNET = "unet/diffusion_pytorch_model.safetensors"


def test_the_weights_are_those_of_the_files(tiny):
    parts = load(read_card(tiny), "cpu")
    file = load_file(tiny / UNET)
    state = parts.unet.state_dict()
    assert state.keys() == file.keys()
    assert all(torch.equal(state[name], file[name]) for name in file)
    assert not any(weight.requires_grad for part in parts.modules() for weight in part.parameters())
    assert not any(part.training for part in parts.modules())
    assert (parts.family, parts.card_name, parts.dtype) == ("sd1", "tiny", torch.float32)
    assert parts.scheduler_config["beta_end"] == 0.012
    files = sum(file.stat().st_size for file in tiny.rglob("*.safetensors"))
    assert 0.9 < parts.size_bytes() / files < 1.1


def test_an_autoencoder_tiny_decodes_its_own_previews(tmp_path):
    from tests.fixtures.tiny import make_tiny

    parts = load(read_card(make_tiny(tmp_path / "t", vae="tiny", preview=False)), "cpu")
    assert parts.preview is parts.vae
    assert type(parts.vae).__name__ == "AutoencoderTiny"
    assert len(list(parts.modules())) == 3


def test_nothing_is_printed_and_the_libraries_settings_stay(tiny, capfd, caplog):
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = (diffusers_logging.get_verbosity(), transformers_logging.get_verbosity())
    bars = (
        diffusers_logging.is_progress_bar_enabled(),
        transformers_logging.is_progress_bar_enabled(),
    )
    with caplog.at_level(logging.INFO):
        load(read_card(tiny), "cpu")
    assert capfd.readouterr() == ("", "")
    assert before == (diffusers_logging.get_verbosity(), transformers_logging.get_verbosity())
    assert bars == (
        diffusers_logging.is_progress_bar_enabled(),
        transformers_logging.is_progress_bar_enabled(),
    )


@pytest.mark.parametrize("part", ["unet", "text_encoder", "vae", "vae_tiny"])
def test_a_tensor_too_few_is_an_error_and_not_a_random_one(tiny, part):
    (file,) = (tiny / part).glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    del tensors[name]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelFileError, match=f"tiny/{part}"):
        load(read_card(tiny), "cpu")


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_tensor_of_another_shape_is_an_error(tiny, part):
    (file,) = (tiny / part).glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    tensors[name] = torch.zeros(3, 3)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelFileError, match=f"tiny/{part}"):
        load(read_card(tiny), "cpu")


def test_a_configuration_that_cannot_be_built_is_an_error(tiny):
    config = json.loads((tiny / "unet/config.json").read_text())
    config["down_block_types"] = ["NoSuchBlock", "DownBlock2D"]
    (tiny / "unet/config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=r"tiny/unet cannot be loaded: .*NoSuchBlock"):
        load(read_card(tiny), "cpu")


def test_a_file_for_half_precision_runs_in_single_on_a_cpu(tiny):
    for file in tiny.rglob("*.safetensors"):
        save_file(
            {name: value.half() for name, value in load_file(file).items()}, file, {"format": "pt"}
        )
    for file in (tiny / "unet").glob("*.safetensors"):
        file.rename(file.with_suffix("").with_suffix(".fp16.safetensors"))
    parts = load(read_card(tiny), "cpu")
    assert {weight.dtype for part in parts.modules() for weight in part.parameters()} == {
        torch.float32
    }


def test_a_model_in_pieces_is_put_together(tiny):
    file = tiny / UNET
    tensors = load_file(file)
    file.unlink()
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for name, half in halves.items():
        save_file({key: tensors[key] for key in half}, tiny / "unet" / name, {"format": "pt"})
    (tiny / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps(
            {
                "metadata": {"total_size": 1},
                "weight_map": {key: name for name, half in halves.items() for key in half},
            }
        )
    )
    state = load(read_card(tiny), "cpu").unet.state_dict()
    assert all(torch.equal(state[name], tensors[name]) for name in tensors)
    (tiny / "unet" / "b.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"b\.safetensors is missing"):
        read_card(tiny)


def test_bfloat16_makes_pictures_too(tiny):
    from modules.diffusion.pipeline import generate
    from modules.schema import GenerationRequest

    parts = load(read_card(tiny), "cpu", "bf16")
    assert parts.unet.dtype is torch.bfloat16
    request = GenerationRequest(
        prompt="(a:1.3)", width=32, height=32, steps=2, cfg_scale=3, sampler="euler", seed=1
    )
    (image,) = generate(parts, request, preview=1)
    assert image.size == (32, 32)


def test_devices_and_precisions_that_cannot_be_had_are_sentences():
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(UserError, match=r"no device “tpu” here\. There is: .*cpu"):
        pick_device("tpu")
    with pytest.raises(UserError, match="no device “cuda:99”"):
        pick_device("cuda:99")
    with pytest.raises(UserError, match="no device “cpu:x”"):
        pick_device("cpu:x")
    cpu = torch.device("cpu")
    with pytest.raises(UserError, match="fp16 on a CPU"):
        pick_dtype("fp16", cpu, 1)
    with pytest.raises(UserError, match="no precision “int3”"):
        pick_dtype("int3", cpu, 1)
    assert pick_dtype("auto", cpu, LARGE) is torch.float32
    assert pick_dtype("auto", torch.device("cuda"), 1) is torch.float16
    assert pick_dtype("bf16", cpu, 1) is torch.bfloat16
