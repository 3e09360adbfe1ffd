"""A finished picture through the door: sizes, files, what is refused, what is said."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from extensions.upscaler import restore
from extensions.upscaler.adapter import load_model, to_size
from extensions.upscaler.files import find, names
from extensions.upscaler.options import UpscalerOptions
from extensions.upscaler.sizes import target
from extensions.upscaler.worker import Enlarging, Shelf
from modules.plugins import Cancelled, GenerationRequest, Host, UserError

REQUEST = GenerationRequest()


def picture(width=40, height=30, mode="RGB"):
    noise = np.random.default_rng(1).integers(0, 256, (height, width, len(mode)), np.uint8)
    return Image.fromarray(noise, mode)


def finish(host, image, progress=lambda share: None, **options):
    made = Enlarging(host, Shelf(host), UpscalerOptions(enabled=True, **options))
    return made.finish(image, REQUEST, 0, progress), made.infotext()


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"scale": 2}, (80, 60)),
        ({"scale": 1.5}, (60, 45)),
        ({"mode": "to", "width": 64, "height": 64}, (64, 64)),
        ({"mode": "to", "width": 64, "height": 64, "crop": False}, (64, 48)),
        ({"mode": "to", "width": 400, "height": 30}, (400, 30)),
    ],
)
def test_sizes(host, options, size):
    made, _ = finish(host, picture(), upscaler="Lanczos", **options)
    assert made.size == size
    assert target(UpscalerOptions(**options), 40, 30).size == size


def test_cropping_keeps_the_middle(host):
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (10, 0, 30, 20))
    made, _ = finish(host, image, upscaler="Nearest", mode="to", width=40, height=40)
    assert made.getpixel((1, 1)) == made.getpixel((38, 38)) == (0, 0, 255)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_model_of_a_file_enlarges_and_what_is_too_large_is_shrunk(host, add_model, scale):
    add_model("plain", scale, nearest=True)
    image = picture(70, 50)
    made, said = finish(host, image, upscaler="PLAIN.safetensors", scale=scale)
    assert made.tobytes() == image.resize(made.size, Image.Resampling.NEAREST).tobytes()
    assert said["Postprocess upscaler"] == "plain"
    assert finish(host, image, upscaler="plain", scale=3)[0].size == (210, 150)
    assert finish(host, picture(9, 7), upscaler="plain", scale=8)[0].size == (72, 56)


def test_two_are_blended(host, add_model):
    add_model("plain", 2, nearest=True)
    image = picture()
    made, said = finish(host, image, upscaler="plain", upscaler_2="Bilinear", blend=0.25, scale=2)
    parts = [
        image.resize(made.size, each)
        for each in (Image.Resampling.NEAREST, Image.Resampling.BILINEAR)
    ]
    assert made.tobytes() == Image.blend(*parts, 0.25).tobytes()
    assert said["Postprocess upscaler 2"] == "Bilinear"
    assert said["Postprocess upscaler 2 visibility"] == 0.25


def test_a_random_net_in_tiles_shows_no_seam(host, add_model, monkeypatch):
    """The net looks 4 pixels far, tiles and whole agree to a level."""
    add_model("random", 2, seed=3)
    model = load_model(host, "random", host.models / "upscalers" / "random.safetensors")
    image = picture(420, 60)
    tiled = np.asarray(model.enlarge(image, lambda share: None)).astype(int)
    with torch.inference_mode():
        whole = model.piece(np.asarray(image).astype(np.float32) / np.float32(255))
    whole = (whole.clip(0, 1) * 255).round().astype(int)
    assert np.abs(tiled - whole).max() <= 1


def test_what_is_transparent_stays_so(host):
    image = picture(mode="RGBA")
    made, _ = finish(host, image, upscaler="Lanczos", scale=2)
    assert made.mode == "RGBA"
    assert (
        made.getchannel("A").tobytes()
        == image.getchannel("A").resize((80, 60), Image.Resampling.LANCZOS).tobytes()
    )


def test_noise_goes_and_sharpness_comes_by_their_amounts(host):
    flat = np.full((60, 60, 3), 120.0)
    flat[:, 30:] = 160
    noisy = (flat + np.random.default_rng(0).normal(0, 8, flat.shape)).clip(0, 255).astype(np.uint8)
    calm = [
        float(restore.denoise(noisy, amount, lambda share: None)[:, 4:24].std())
        for amount in (0, 0.4, 1)
    ]
    assert calm[0] > calm[1] > calm[2]
    soft = np.asarray(
        Image.fromarray(flat.astype(np.uint8)).resize((120, 120), Image.Resampling.BICUBIC)
    )
    steep = [
        int(np.abs(np.diff(restore.sharpen(soft, amount)[60, :, 0].astype(int))).max())
        for amount in (0, 0.5, 1.5)
    ]
    assert steep[0] < steep[1] < steep[2]
    assert restore.sharpen(soft, 0) is soft and restore.denoise(soft, 0, lambda share: None) is soft
    _, said = finish(host, picture(), upscaler="Lanczos", denoise=0.5, sharpen=0.3)
    assert (said["Postprocess denoise"], said["Postprocess sharpen"]) == (0.5, 0.3)


def test_strips_of_a_high_picture_meet_without_a_seam():
    noise = np.random.default_rng(0).integers(90, 130, (1100, 24, 3), np.uint8)
    whole = restore.denoise(noise[950:1100], 0.7, lambda share: None)
    strips = restore.denoise(noise, 0.7, lambda share: None)[980:1070].astype(int)
    assert np.abs(strips - whole[30:120]).max() <= 2


def test_faces_are_found_restored_and_faded_in():
    from skimage import data

    astronaut = data.astronaut()
    ((left, top, side),) = restore.faces(astronaut)
    assert 150 < left < 260 and 40 < top < 140 and 50 < side < 200
    white = restore.restore_faces(
        astronaut,
        [(left, top, side)],
        0.5,
        lambda face: np.full_like(face, 255),
        lambda share: None,
    )
    middle = (top + side // 2, left + side // 2)
    assert np.abs(white[middle].astype(int) - (astronaut[middle].astype(int) + 255) // 2).max() <= 1
    assert np.array_equal(white[:20], astronaut[:20])
    assert restore.faces(np.zeros((100, 100, 3), np.uint8)) == []


def test_progress_grows_and_stops(host, add_model):
    add_model("plain", 2, nearest=True)
    told = []
    finish(host, picture(700, 20), told.append, upscaler="plain")
    assert told == sorted(told) and told[0] < 0.2 < told[-1] <= 1 and len(told) == 4

    def stop(share):
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        finish(host, picture(700, 20), stop, upscaler="plain")


# ------------------------------------------------------------------------------------------------ what is refused


def test_a_name_that_is_not_there_says_which_are(host, add_model):
    add_model("mine", 2)
    assert "mine" in names(host)
    with pytest.raises(UserError, match=r"no upscaler “other”.*Lanczos.*mine"):
        find(host, "other")


def test_too_many_pixels_are_refused_before_anything_is_read(host, add_model):
    with pytest.raises(UserError, match="16000 x 8000"):
        target(UpscalerOptions(scale=2), 8000, 4000)
    add_model("four", 4)
    model = load_model(host, "four", host.models / "upscalers" / "four.safetensors")
    huge = Image.new("RGB", (6000, 4000))
    with pytest.raises(UserError, match=r"24000 x 16000.*smaller factor"):
        to_size(model, huge, 7000, 4666, lambda share: None)


def test_a_file_that_is_no_upscaler_is_refused_by_name(host, add_model):
    folder = host.models / "upscalers"
    save_file({"lora_unet.alpha": torch.ones(1)}, folder / "lora.safetensors")
    (folder / "broken.safetensors").write_bytes(b"not at all")
    whole = add_model("half", 2)
    from safetensors.torch import load_file

    weights = load_file(whole)
    del weights["body.2.weight"]
    save_file(weights, whole)
    for name, words in (
        ("lora", "no upscaler of an arch"),
        ("broken", "safetensors"),
        ("half", "do not fit"),
    ):
        with pytest.raises(UserError, match=words):
            finish(host, picture(), upscaler=name)
    assert finish(host, picture(), upscaler="Lanczos")[0].size == (80, 60)  # the next one is right


def test_a_model_for_pictures_is_none_for_faces_and_says_so(host, add_model):
    from skimage import data

    add_model("plain", 2, nearest=True)
    with pytest.raises(UserError, match="no model for faces"):
        finish(host, Image.fromarray(data.astronaut()), upscaler="None", scale=1, face="plain")
    small, said = finish(
        host, picture(), upscaler="None", scale=1, face="plain"
    )  # there is no face
    assert small.size == (40, 30) and "Postprocess face restoration" not in said


@pytest.mark.parametrize("wrap", [None, "params_ema", "params"])
def test_a_pickle_is_read_without_running_it(host, add_model, wrap):
    add_model("old", 2, nearest=True, suffix=".pth", wrap=wrap)
    image = picture()
    made, _ = finish(host, image, upscaler="old")
    assert made.tobytes() == image.resize((80, 60), Image.Resampling.NEAREST).tobytes()


def test_a_pickle_that_wants_to_run_something_is_refused(host, tmp_path):
    import os

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-here"),)

    torch.save({"params": Evil()}, host.models / "upscalers" / "evil.pth")
    with pytest.raises(UserError, match="mkdir"):
        finish(host, picture(), upscaler="evil")
    assert not (tmp_path / "was-here").exists()


def test_a_file_that_is_changed_is_read_again(host, add_model):
    shelf = Shelf(host)
    path = add_model("one", 2, nearest=True)
    first = shelf.get("one", path)
    assert shelf.get("one", path) is first
    add_model("one", 4, nearest=True)
    assert shelf.get("one", path).factor == 4


def test_the_host_is_enough(tmp_path):
    assert names(Host("upscaler", tmp_path, tmp_path, tmp_path))[0] == "None"
