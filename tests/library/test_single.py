"""Checkpoints that are one file: every tensor finds its place, or the file is refused by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.errors import ModelFileError
from modules.library.load import load, load_vae, predicts_noise
from modules.library.scan import read_card, scan
from modules.library.single import beside, check_vae
from tests.fixtures.tiny import make_single, make_tiny, to_original

FAMILIES = ("sd1", "sd2", "sdxl", "sdxl_refiner")
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    return {family: make_tiny(root / family, family=family, card={}) for family in FAMILIES}


@pytest.fixture
def single(folders, tmp_path):
    """sd1 as one file, of which a test makes what it likes."""
    return make_single(folders["sd1"], tmp_path / "models" / "checkpoints" / "one.safetensors")


def change(file, change):
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def states(parts):
    return {
        f"{part}.{name}": value
        for part in PARTS
        if getattr(parts, part) is not None
        for name, value in getattr(parts, part).state_dict().items()
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_is_the_same_model_as_its_folder(folders, family, tmp_path):
    file = make_single(folders[family], tmp_path / "one.safetensors")
    whole = load(read_card(folders[family]), "cpu")
    parts = load(read_card(file), "cpu")
    expected, found = states(whole), states(parts)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert (parts.family, parts.variant) == (family, "base")
    for name in ("tokenizer", "tokenizer_2"):
        ours, theirs = getattr(parts, name), getattr(whole, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.pad_token_id == theirs.pad_token_id
            assert ours("a red cat").input_ids == theirs("a red cat").input_ids
    assert not any(weight.requires_grad for part in parts.modules() for weight in part.parameters())
    assert not any(part.training for part in parts.modules())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_files_run_in_single_on_a_cpu(folders, tmp_path, dtype):
    file = make_single(folders["sd1"], tmp_path / "one.safetensors", dtype=dtype)
    parts = load(read_card(file), "cpu")
    assert {weight.dtype for part in parts.modules() for weight in part.parameters()} == {
        torch.float32
    }
    exact = load(read_card(folders["sd1"]), "cpu").unet.state_dict()
    for name, value in parts.unet.state_dict().items():
        assert torch.equal(value, exact[name].to(getattr(torch, dtype)).float())


def test_averaged_weights_beside_the_others_are_left_alone(single):
    before = states(load(read_card(single), "cpu"))

    def add(tensors):
        for name in list(tensors):
            if name.startswith("model.diffusion_model."):
                flat = name.removeprefix("model.").replace(".", "")
                tensors[f"model_ema.{flat}"] = torch.zeros_like(tensors[name])
        tensors["model_ema.decay"] = torch.zeros(())
        tensors["alphas_cumprod"] = torch.zeros(1000)
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.zeros(
            1, 77
        )

    change(single, add)
    after = states(load(read_card(single), "cpu"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_averaged_weights_alone_are_the_model(single):
    before = states(load(read_card(single), "cpu"))

    def only(tensors):
        for name in list(tensors):
            if name.startswith("model.diffusion_model."):
                flat = name.removeprefix("model.").replace(".", "")
                tensors[f"model_ema.{flat}"] = tensors.pop(name)

    change(single, only)
    after = states(load(read_card(single), "cpu"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_text_encoders_without_their_wrapper_are_read_too(single):
    before = states(load(read_card(single), "cpu"))

    def unwrap(tensors):
        for name in [name for name in tensors if ".text_model." in name]:
            tensors[name.replace("text_model.", "")] = tensors.pop(name)

    change(single, unwrap)
    after = states(load(read_card(single), "cpu"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_last_layer_of_sd2s_encoder_is_not_missed(folders, tmp_path):
    """Files hold 24 layers, of which the denoiser reads the last but one: the model is built with 23."""
    file = make_single(folders["sd2"], tmp_path / "one.safetensors")
    block = "cond_stage_model.model.transformer.resblocks."

    def add(tensors):
        for name in [name for name in tensors if name.startswith(f"{block}2.")]:
            tensors[name.replace(f"{block}2.", f"{block}3.")] = torch.zeros_like(tensors[name])
        tensors["cond_stage_model.model.text_projection"] = torch.zeros(32, 32)

    change(file, add)
    parts = load(read_card(file), "cpu")
    assert parts.text_encoder.config.num_hidden_layers == 3


PREFIXES = (
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.transformer.",
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_tensor_too_few_is_named(single, prefix):
    names = sorted(name for name in load_file(single) if name.startswith(prefix))
    gone = names[len(names) // 2]
    change(single, lambda tensors: tensors.pop(gone))
    with pytest.raises(ModelFileError, match=r"one\.safetensors lacks 1 of") as caught:
        load(read_card(single), "cpu")
    assert gone in str(caught.value)


@pytest.mark.parametrize("prefix", [*PREFIXES, ""])
def test_a_tensor_too_many_is_named(single, prefix):
    change(single, lambda tensors: tensors.update({f"{prefix}surplus.weight": torch.zeros(2)}))
    with pytest.raises(ModelFileError, match=rf"1 tensor.* {prefix}surplus\.weight"):
        load(read_card(single), "cpu")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_tensor_of_another_shape_is_named(single, prefix):
    name = sorted(name for name in load_file(single) if name.startswith(prefix))[3]
    change(single, lambda tensors: tensors.update({name: torch.zeros(3, 5)}))
    with pytest.raises(ModelFileError, match=r"is \[3, 5\] F32 instead of") as caught:
        load(read_card(single), "cpu")
    assert name in str(caught.value)


def test_numbers_that_are_no_fractions_are_refused(single):
    name = "model.diffusion_model.out.2.bias"
    change(single, lambda tensors: tensors.update({name: tensors[name].to(torch.int8)}))
    with pytest.raises(ModelFileError, match=r"out\.2\.bias is \[4\] I8"):
        load(read_card(single), "cpu")


def test_a_vae_beside_the_file_is_taken_before_the_one_in_it(folders, single):
    weights = load_file(folders["sd1"] / "vae" / "diffusion_pytorch_model.safetensors")
    louder = {name: value * 2 for name, value in to_original("vae", weights, "sd1").items()}
    bare = {name.removeprefix("first_stage_model."): value for name, value in louder.items()}
    save_file(bare, beside(single, ".vae.safetensors"))
    card = read_card(single)
    assert scan(single.parents[1]).cards == (card,)
    vae = load(card, "cpu").vae.state_dict()
    assert all(torch.equal(vae[name], weights[name] * 2) for name in weights)


def test_a_file_without_vae_says_where_to_put_one(folders, tmp_path):
    file = make_single(folders["sd1"], tmp_path / "one.safetensors", baked=False)
    with pytest.raises(ModelFileError, match=r"no autoencoder.*one\.vae\.safetensors"):
        read_card(file)


@pytest.mark.parametrize("layout", ["ldm", "prefixed", "diffusers"])
def test_a_vae_file_goes_into_a_model_and_out_again(folders, tmp_path, layout):
    parts = load(read_card(folders["sd1"]), "cpu")
    weights = load_file(folders["sd1"] / "vae" / "diffusion_pytorch_model.safetensors")
    weights = {name: value + 1 for name, value in weights.items()}
    original = to_original("vae", weights, "sd1")
    bare = {name.removeprefix("first_stage_model."): value for name, value in original.items()}
    files = {"ldm": bare, "prefixed": original, "diffusers": weights}
    file = tmp_path / "other.safetensors"
    save_file(files[layout], file)
    other = load_vae(file, parts)
    assert other.config.scaling_factor == parts.vae.config.scaling_factor
    assert all(torch.equal(other.state_dict()[name], weights[name]) for name in weights)
    own, preview = parts.vae, parts.preview
    with pytest.raises(RuntimeError), parts.using(other):
        assert parts.vae is other
        raise RuntimeError
    assert (parts.vae, parts.preview) == (own, preview)


def test_a_vae_of_another_kind_is_refused(folders, tmp_path):
    parts = load(read_card(folders["sd1"]), "cpu")
    file = tmp_path / "other.safetensors"
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(1, 1)}, file)
    with pytest.raises(ModelFileError, match="no autoencoder for this model but: lora"):
        load_vae(file, parts)


@pytest.mark.parametrize(("variant", "inputs"), [("inpaint", 9), ("edit", 8)])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_special_denoisers_are_seen_by_their_input(tmp_path, family, variant, inputs):
    folder = make_tiny(tmp_path / "a", family=family, variant=variant, card={})
    file = make_single(folder, tmp_path / "b.safetensors")
    for card in (read_card(folder), read_card(file)):
        assert (card.family, card.variant) == (family, variant)
        parts = load(card, "cpu")
        assert parts.variant == variant
        assert parts.unet.config.in_channels == inputs


def test_marks_in_the_file_say_what_the_denoiser_predicts(single):
    assert read_card(single).prediction_type == "epsilon"
    card = beside(single, ".card.json")
    said = json.loads(card.read_text())
    del said["prediction_type"]
    card.write_text(json.dumps(said))
    change(single, lambda tensors: tensors.update(v_pred=torch.ones(()), ztsnr=torch.ones(())))
    found = read_card(single)
    assert found.prediction_type == "v_prediction"
    config = load(found, "cpu").scheduler_config
    assert config["prediction_type"] == "v_prediction"
    assert config["rescale_betas_zero_snr"] is True


def test_a_card_may_say_otherwise(single):
    card = beside(single, ".card.json")
    said = json.loads(card.read_text())
    card.write_text(json.dumps({**said, "prediction_type": "v_prediction", "title": "Mine"}))
    found = read_card(single)
    assert (found.title, found.prediction_type) == ("Mine", "v_prediction")
    card.write_text(json.dumps({**said, "config": ["unet"]}))
    with pytest.raises(ModelFileError, match=r"one\.card\.json has in “config”"):
        read_card(single)
    card.write_text(json.dumps({**said, "family": "sd9"}))
    with pytest.raises(ModelFileError, match="Those that can be used: sd1, sd2, sdxl"):
        read_card(single)


def test_whether_it_is_the_noise_is_heard_from_the_answer(folders):
    parts = load(read_card(folders["sd2"]), "cpu")

    class Answers(torch.nn.Module):
        def __init__(self, config, noise):
            super().__init__()
            self.config, self.noise = config, noise

        def forward(self, x, timestep, encoder_hidden_states, return_dict):
            assert timestep == 999
            # sqrt(a) at the last of 1,000 steps of the usual schedule is 0.068.
            clean = torch.full_like(x, 0.3) * torch.linspace(-1, 1, x.shape[-1])
            return (x * 0.997 if self.noise else 0.068 * x - 0.998 * clean,)

    own = parts.unet
    for noise in (True, False):
        parts.unet = Answers(own.config, noise)
        assert predicts_noise(parts) is noise


def test_files_of_other_kinds_are_named_for_what_they_are(folders, tmp_path):
    models = tmp_path / "models"
    (models / "checkpoints").mkdir(parents=True)
    part = folders["sd1"] / "unet" / "diffusion_pytorch_model.safetensors"
    (models / "checkpoints" / "part.safetensors").write_bytes(part.read_bytes())
    save_file({"emb_params": torch.zeros(2, 768)}, models / "checkpoints" / "word.safetensors")
    reasons = {problem.path.stem: problem.reason for problem in scan(models).problems}
    assert "no checkpoint but: sd1 embedding" in reasons["word"]
    assert "family" in reasons["part"] or "one part of a model" in reasons["part"]


@pytest.mark.parametrize(("channels", "family", "fits"), [(4, "sdxl", True), (16, "sd1", False)])
def test_a_vae_is_seen_from_its_header_to_fit_a_family(tmp_path, channels, family, fits):
    path = tmp_path / "v.safetensors"
    weights = {
        "decoder.conv_in.weight": torch.zeros(8, channels, 3, 3),
        "decoder.mid.block_1.conv1.weight": torch.zeros(8, 8, 3, 3),
    }
    save_file(weights, path)
    if fits:
        check_vae(path, family, lambda pickle: None)
        return
    with pytest.raises(ModelFileError, match=r"v\.safetensors"):
        check_vae(path, family, lambda pickle: None)


def test_what_is_no_vae_is_refused_and_a_pickle_waits_for_its_conversion(tmp_path):
    path = tmp_path / "e.safetensors"
    save_file({"clip_l": torch.zeros(2, 768)}, path)
    with pytest.raises(ModelFileError, match="embedding"):
        check_vae(path, "sd1", lambda pickle: None)
    check_vae(tmp_path / "old.pt", "sd1", lambda pickle: None)
