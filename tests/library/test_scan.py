"""Finding models: what is whole becomes a card, everything else a line with its reason, and nothing an exception."""

import json
import shutil
import struct

import pytest

from modules.errors import ModelFileError, UnknownNameError
from modules.library.cards import find
from modules.library.load import load
from modules.library.scan import read_card, scan

UNET = "unet/diffusion_pytorch_model.safetensors"


def edit(path, **changes):
    data = json.loads(path.read_text())
    data.update(changes)
    path.write_text(json.dumps(data))


def test_a_whole_folder_becomes_a_card(models, tiny):
    result = scan(models)
    assert result.problems == ()
    (card,) = result.cards
    assert (card.name, card.title, card.family, card.path) == ("tiny", "Tiny", "sd1", tiny)
    assert card.defaults.steps == 3
    assert card.preview == "vae_tiny"
    assert card.examples == ("a red cat",)
    assert card.description["zh"] == "随机权重。"
    assert card.size_bytes == sum(file.stat().st_size for file in tiny.rglob("*.safetensors"))


def test_without_a_card_the_model_s_own_configuration_speaks(models, tiny):
    (tiny / "card.json").unlink()
    (card,) = scan(models).cards
    assert (card.name, card.title, card.prediction_type) == ("tiny", "tiny", "epsilon")
    assert (card.defaults.width, card.defaults.height) == (32, 32)
    assert card.size_limits.minimum <= 32
    assert card.preview == "vae_tiny"


def test_no_folder_at_all_is_no_models(tmp_path):
    result = scan(tmp_path / "nowhere")
    assert (result.cards, result.problems) == ((), ())


def test_models_may_lie_in_folders_of_folders(models, pristine):
    shutil.copytree(pristine, models / "checkpoints" / "mine" / "old" / "a")
    (models / "checkpoints" / "mine" / "old" / "a" / "card.json").unlink()
    (card,) = scan(models).cards
    assert card.name == "mine/old/a"


def test_links_are_followed_and_loops_are_not(models, tmp_path, pristine):
    outside = shutil.copytree(pristine, tmp_path / "elsewhere" / "far")
    (models / "checkpoints" / "linked").symlink_to(outside.parent)
    (models / "checkpoints" / "loop").symlink_to(models / "checkpoints")
    (models / "checkpoints" / "self").symlink_to(models / "checkpoints" / "self")
    (models / "checkpoints" / "gone").symlink_to(tmp_path / "not there")
    assert [card.name for card in scan(models).cards] == ["tiny"]  # the name that its card gives


def truncate(tiny):
    data = (tiny / UNET).read_bytes()
    (tiny / UNET).write_bytes(data[: len(data) // 2])


def truncate_header(tiny):
    (tiny / UNET).write_bytes((tiny / UNET).read_bytes()[:100])


def grow(tiny):
    with (tiny / UNET).open("ab") as file:
        file.write(b"\0" * 10)


def html(tiny):
    (tiny / UNET).write_text("<!DOCTYPE html><html><body>Please log in</body></html>")


def pickled(tiny):
    (tiny / UNET).rename(tiny / "unet/diffusion_pytorch_model.bin")


def huge_header(tiny):
    (tiny / UNET).write_bytes(struct.pack("<Q", 2**60) + b"{}")


def deep_header(tiny):
    body = b"[" * 100_000
    (tiny / UNET).write_bytes(struct.pack("<Q", len(body)) + body)


def odd_header(tiny):
    body = json.dumps({"a": {"shape": "x", "data_offsets": [0]}}).encode()
    (tiny / UNET).write_bytes(struct.pack("<Q", len(body)) + body)


def deep_config(tiny):
    (tiny / "unet/config.json").write_text("[" * 100_000)


FAULTS = {
    "no index": (lambda tiny: (tiny / "model_index.json").unlink(), "model_index.json is missing"),
    "no unet": (lambda tiny: shutil.rmtree(tiny / "unet"), "unet/config.json is missing"),
    "no vae weights": (
        lambda tiny: (tiny / "vae/diffusion_pytorch_model.safetensors").unlink(),
        "vae/diffusion_pytorch_model.safetensors is missing",
    ),
    "no vocabulary": (
        lambda tiny: (tiny / "tokenizer/vocab.json").unlink(),
        "vocab.json is missing",
    ),
    "no merges": (lambda tiny: (tiny / "tokenizer/merges.txt").unlink(), "merges.txt is missing"),
    "no scheduler": (
        lambda tiny: shutil.rmtree(tiny / "scheduler"),
        "scheduler_config.json is missing",
    ),
    "no preview": (
        lambda tiny: shutil.rmtree(tiny / "vae_tiny"),
        "vae_tiny/config.json is missing",
    ),
    "cut short": (truncate, "unet/diffusion_pytorch_model.safetensors is not whole"),
    "cut in the header": (truncate_header, "not a safetensors file"),
    "something behind": (grow, "after the last tensor belong to none"),
    "empty": (lambda tiny: (tiny / UNET).write_bytes(b""), "it is empty"),
    "a web page": (html, "it is a web page"),
    "git lfs": (
        lambda tiny: (tiny / UNET).write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
        ),
        "pointer of Git LFS",
    ),
    "a pickle": (pickled, "unet/diffusion_pytorch_model.bin is a Python pickle"),
    "a pickle in disguise": (
        lambda tiny: (tiny / UNET).write_bytes(b"PK\x03\x04" * 99),
        "Python pickle",
    ),
    "a header of 2^60": (huge_header, "not a safetensors file"),
    "a header of brackets": (deep_header, "not a safetensors file"),
    "a header of nonsense": (odd_header, "not a safetensors file"),
    "a configuration of brackets": (deep_config, "unet/config.json is not the JSON"),
    "a list for a configuration": (
        lambda tiny: (tiny / "vae/config.json").write_text("[]"),
        "vae/config.json is not the JSON it should be: not a JSON object",
    ),
    "binary for a configuration": (
        lambda tiny: (tiny / "vae/config.json").write_bytes(b"\xff\xfe\x00"),
        "vae/config.json is not the JSON",
    ),
    "code": (
        lambda tiny: (tiny / "unet/pipeline.py").write_text("1/0"),
        "pipeline.py brings or asks for",
    ),
    "auto_map": (
        lambda tiny: edit(tiny / "text_encoder/config.json", auto_map={"AutoModel": "x.Y"}),
        r"asks for program code \(auto_map\)",
    ),
    "auto_map further in": (
        lambda tiny: edit(tiny / "unet/config.json", more=[{"x": {"auto_map": {}}}]),
        "auto_map",
    ),
    "attention from the hub": (
        lambda tiny: edit(tiny / "text_encoder/config.json", _attn_implementation_internal="a/b"),
        "_attn_implementation_internal",
    ),
    "attention from the hub for one part": (
        lambda tiny: edit(tiny / "text_encoder/config.json", attn_implementation={"text": "a/b:c"}),
        "asks for program code",
    ),
    "a class of its own": (
        lambda tiny: edit(tiny / "model_index.json", unet=["pipeline", "Evil"]),
        r"wants pipeline.Evil for the part unet",
    ),
    "another pipeline": (
        lambda tiny: edit(tiny / "model_index.json", _class_name="PixArtSigmaPipeline"),
        "of the kind PixArtSigmaPipeline",
    ),
    "another pipeline's parts": (
        lambda tiny: edit(tiny / "model_index.json", _class_name="StableDiffusionXLPipeline"),
        "of the family sd1, its parts are those of sdxl",
    ),
    "depth": (
        lambda tiny: edit(tiny / "unet/config.json", in_channels=5),
        "a denoiser whose input is “5”",
    ),
    "parts of two models": (
        lambda tiny: edit(tiny / "text_encoder/config.json", hidden_size=768),
        "reads text of width 32, but the text encoder gives 768",
    ),
    "a card of nonsense": (
        lambda tiny: (tiny / "card.json").write_text("{"),
        "card.json is not the JSON",
    ),
    "a wrong value": (
        lambda tiny: edit(tiny / "card.json", defaults={"steps": "many"}),
        r"card.json has in “defaults.steps” the value 'many'",
    ),
    "a contradiction": (
        lambda tiny: edit(tiny / "card.json", prediction_type="v_prediction"),
        "says that the model predicts v_prediction, its scheduler configuration says epsilon",
    ),
    "another family": (
        lambda tiny: edit(tiny / "card.json", family="sdxl"),
        "of the family sdxl, its parts are those of sd1",
    ),
    "a preview elsewhere": (
        lambda tiny: edit(tiny / "card.json", preview="../../secret"),
        "not inside the model's own",
    ),
    "a preview of another class": (
        lambda tiny: edit(tiny / "card.json", preview="unet"),
        "wants UNet2DConditionModel for the part unet; that can be: AutoencoderTiny",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_line_with_its_reason(models, tiny, pristine, fault):
    good = read_card(tiny)
    spoil, reason = FAULTS[fault]
    spoil(tiny)
    other = shutil.copytree(pristine, models / "checkpoints" / "other")
    (other / "card.json").unlink()
    result = scan(models)
    assert [card.name for card in result.cards] == ["other"]
    (problem,) = result.problems
    assert problem.path == tiny
    with pytest.raises(ModelFileError, match=reason):
        raise problem.error
    assert problem.reason == str(problem.error)
    assert problem.error.message("zh") != problem.reason
    if not fault.startswith(
        ("a wrong value", "a card", "another family", "a contradiction", "a preview")
    ):
        with pytest.raises(ModelFileError, match=reason):
            load(good, "cpu")


@pytest.mark.parametrize("value", ["sdpa", "eager", True, None])
def test_a_plain_choice_of_attention_is_no_code(tiny, value):
    """transformers writes it into the configurations that it saves."""
    edit(tiny / "text_encoder/config.json", _attn_implementation_autoset=value)
    assert read_card(tiny).name == "tiny"


def test_what_lies_in_hidden_folders_is_never_read(tiny):
    (tiny / ".git").mkdir()
    (tiny / ".git" / "hook.py").write_text("1/0")
    assert read_card(tiny).name == "tiny"


def test_two_models_of_one_name_are_told_apart(models, tiny, pristine):
    again = shutil.copytree(pristine, models / "checkpoints" / "zz")
    result = scan(models)
    assert [card.path for card in result.cards] == [tiny]
    assert [problem.path for problem in result.problems] == [again]
    assert "called “tiny”" in result.problems[0].reason


def test_a_single_pickle_is_never_opened(models):
    (models / "checkpoints" / "evil.ckpt").write_bytes(b"\x80\x04cos\nsystem\n")
    (problem,) = scan(models).problems
    assert "Python pickle" in problem.reason


def test_other_files_are_not_looked_at(models):
    (models / "checkpoints" / "README.md").write_text("hello")
    (models / "checkpoints" / ".hidden").mkdir()
    (models / "checkpoints" / ".hidden" / "model_index.json").write_text("{}")
    (models / "checkpoints" / "empty").mkdir()
    assert scan(models).problems == ()


def test_a_model_is_found_by_name_in_any_case_or_by_default(models, tiny, pristine):
    other = shutil.copytree(pristine, models / "checkpoints" / "other")
    (other / "card.json").unlink()
    cards = scan(models).cards
    assert find(cards, "tiny").name == "tiny"
    assert find(cards, "TINY").name == "tiny"
    assert find(cards, None, "tiny").name == "tiny"
    assert find(cards, None).name == find(cards, "", "").name == "other"
    with pytest.raises(UnknownNameError, match=r"“tinny”\. Did you mean “tiny”\?.*other, tiny"):
        find(cards, "tinny")
    with pytest.raises(UnknownNameError, match=r"“zzzz”\. Those that can be used: other, tiny"):
        find(cards, "zzzz")
    with pytest.raises(UnknownNameError, match="“gone”"):
        find(cards, None, "gone")
    with pytest.raises(UnknownNameError, match="There is no model that can be used"):
        find((), None)
