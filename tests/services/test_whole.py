"""A whole installation with tiny models: from the command line to the picture, and the picture once more."""

import json
from hashlib import sha256

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from modules import cli
from modules.app import build_studio
from modules.cli.parser import parser
from modules.errors import UnknownNameError, UserError
from modules.library.identify.embedding import WIDTHS
from modules.library.pickles import Converter
from modules.schema import GenerationRequest, JobState
from modules.settings import Settings
from tests.fixtures.tiny import make_tiny, to_original


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Models this small gain nothing from more, and on a busy machine threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CARD = {"defaults": {"width": 64, "height": 64, "steps": 4, "cfg_scale": 2.0, "sampler": "euler"}}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three families, an embedding for each of two widths, and a VAE as a pickle."""
    root = tmp_path_factory.mktemp("whole models")
    for name, family in (
        ("one", "sd1"),
        ("other", "sd1"),
        ("xl", "sdxl"),
        ("xl refiner", "sdxl_refiner"),
    ):
        folder = make_tiny(root / "checkpoints" / name, family=family, preview=False, card=CARD)
        if name == "other":
            file = folder / "unet" / "diffusion_pytorch_model.safetensors"
            save_file({key: value * 1.2 for key, value in load_file(file).items()}, file)
    (root / "vae").mkdir()
    weights = load_file(
        root / "checkpoints" / "one" / "vae" / "diffusion_pytorch_model.safetensors"
    )
    louder = {name: value * 1.1 for name, value in to_original("vae", weights, "sd1").items()}
    torch.save({"state_dict": louder}, root / "vae" / "louder.vae.pt")
    (root / "embeddings").mkdir()
    for name, width in (("fitting", 32), ("sdtwo", 1024)):
        save_file(
            {"emb_params": torch.randn(2, width)}, root / "embeddings" / f"{name}.safetensors"
        )
    return root


@pytest.fixture
def place(tmp_path, models):
    """Arguments that every command gets."""
    (tmp_path / "none").mkdir()
    return [
        "--data-dir",
        str(tmp_path / "data"),
        "--models-dir",
        str(models),
        "--extensions-dir",
        str(tmp_path / "none"),
    ]


@pytest.fixture
def call(place, capsys):
    """A command; what it printed as JSON."""

    def call(*words):
        status = cli.main([*words, "--json", *place])
        out, err = capsys.readouterr()
        assert status == 0, err
        return json.loads(out)

    return call


@pytest.fixture
def drawn(tmp_path):
    """Files of a picture and of a mask."""
    picture, mask = tmp_path / "in.png", tmp_path / "mask.png"
    Image.radial_gradient("L").resize((80, 64)).convert("RGB").save(picture)
    hole = Image.new("L", (80, 64), 0)
    hole.paste(255, (16, 16, 48, 48))
    hole.save(mask)
    return str(picture), str(mask)


WAYS = {
    "txt2img": ["txt2img", "a cat", "--batch-size", "2", "--sampler", "Euler a"],
    "hires": ["txt2img", "a cat", "--hires", "1.5", "--hires-steps", "2"],
    "img2img": ["img2img", "PICTURE", "a cat", "--denoise", "0.6"],
    "inpaint": ["img2img", "PICTURE", "a cat", "--mask", "MASK", "--denoise", "0.8"],
    "refiner": ["txt2img", "a cat", "--refiner", "other", "--refiner-at", "0.4"],
    "sdxl": ["txt2img", "a cat", "--model", "xl", "--refiner", "xl refiner"],
    "vae": ["txt2img", "a cat", "--vae", "louder.vae"],
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_command_made_is_made_again_to_the_bit(call, drawn, way):
    words = [{"PICTURE": drawn[0], "MASK": drawn[1]}.get(word, word) for word in WAYS[way]]
    made = call(*words, "--seed", "5", "--steps", "4")
    assert made["state"] == "done" and made["warnings"] == []
    for picture in made["pictures"]:
        again = call("reproduce", picture["file"])
        assert again["identical"] and again["reasons"] == []


def test_why_a_picture_comes_out_otherwise_is_said(
    call, place, capsys, tmp_path, models, monkeypatch
):
    monkeypatch.setitem(WIDTHS, 32, "sd1")  # the tiny encoder's
    words = ("--refiner", "other", "--vae", "louder.vae", "--seed", "5")
    made = call("txt2img", "a cat", "--negative", "fitting", *words)
    file = made["pictures"][0]["file"]
    with Image.open(file) as image:
        said, text = image.info["noisette"], image.info["parameters"]
    assert "VAE hash: " in text and "VAE: louder.vae" in text
    own = sha256((models / "embeddings" / "fitting.safetensors").read_bytes()).hexdigest()
    assert f'TI hashes: "fitting: {own[:12]}"' in text and "sdtwo" not in text
    data = json.loads(said)
    for name in ("model_hash", "refiner_hash", "vae_hash"):
        assert len(data[name]) == 10
        data[name] = "0123456789"
    data["embedding_hashes"] = "fitting: 0123456789"
    data["request"]["steps"] = 2
    with Image.open(file) as image:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("noisette", json.dumps(data))
        image.save(tmp_path / "changed.png", pnginfo=info)
    assert cli.main(["reproduce", str(tmp_path / "changed.png"), "--json", *place]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["identical"] and found["differing"] > 0
    assert len(found["reasons"]) == 4 and all("0123456789" in each for each in found["reasons"])


def test_the_second_model_draws_the_end(call):
    """With the hand-over at the very end the refiner changes nothing; early it does."""

    def picture(*words):
        made = call("txt2img", "a cat", "--seed", "5", "--steps", "6", *words)
        with Image.open(made["pictures"][0]["file"]) as image:
            return image.tobytes()

    alone = picture()
    assert picture("--refiner", "other", "--refiner-at", "1") == alone
    assert picture("--refiner", "other", "--refiner-at", "0.3") != alone
    assert picture("--vae", "LOUDER.vae") != alone
    assert picture() == alone


def test_what_changes_nothing_is_told_in_the_readers_language(place):
    options = parser("en").parse_args(["models", *place])
    studio = build_studio(
        Settings.load({name: getattr(options, name, None) for name in Settings.model_fields}),
        in_process=True,
    )
    try:
        request = GenerationRequest(prompt="sdtwo, fitting cat <lora:ink:0.5>", seed=1, model="one")
        job = studio.run(studio.submit(request).id)
        said = [UserError.from_dict(each) for each in job.warnings]
        assert job.state is JobState.DONE
        assert [each.key for each in said] == ["notice.tag.unread", "notice.embedding.misfit"]
        assert "<lora:ink:0.5>" in said[0].message("en") and "“lora”" in said[0].message("zh")
        assert "sdtwo" in said[1].message("zh") and "fitting" not in said[1].message("en")
        with pytest.raises(UnknownNameError, match=r"louder\.vae"):
            studio.submit(request.replace(vae="none"))
        assert len(studio.jobs()) == 1
    finally:
        studio.close()


def test_a_pickle_keeps_what_lies_beside_it(tmp_path, models):
    from modules.library.load import load
    from modules.library.scan import scan
    from tests.fixtures.tiny import make_single

    root = tmp_path / "models"
    file = make_single(models / "checkpoints" / "one", root / "checkpoints" / "old.safetensors")
    weights = load_file(file)
    torch.save({"state_dict": weights}, file.with_suffix(".ckpt"))
    file.unlink()
    torch.save(
        {name.removeprefix("first_stage_model."): value * 2 for name, value in weights.items()
         if name.startswith("first_stage_model.")},
        root / "checkpoints" / "old.vae.pt",
    )  # fmt: skip
    converter = Converter(tmp_path / "converted")
    (problem,) = scan(root, converter.known).problems
    assert "noisette convert" in problem.reason
    assert cli.main(["convert", str(file.with_suffix(".ckpt")), "--data-dir", str(tmp_path)]) == 0
    converter = Converter(tmp_path / "data" / "converted")
    (card,) = scan(root, converter.known).cards
    assert card.path.suffix == ".ckpt" and card.title == "Tiny"  # its card was read
    parts = load(card, "cpu", converted=converter.known)
    assert torch.equal(
        parts.vae.decoder.conv_in.weight,
        weights["first_stage_model.decoder.conv_in.weight"] * 2,
    )
    assert parts.tokenizer.vocab_size < 1000  # its own words
