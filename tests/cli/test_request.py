"""The options of `txt2img` and `img2img` become the request that the page would make."""

import argparse
import io
from pathlib import Path

import pytest
from PIL import Image

from modules.cli.parser import parser
from modules.cli.request import img2img, txt2img
from modules.errors import UserError
from modules.schema import (
    GenerationRequest,
    Hires,
    Img2Img,
    Inpaint,
    ModelCard,
    ModelDefaults,
    Outpaint,
    Refiner,
    SizeLimits,
    Variation,
)
from modules.services.inputs import InputPictures

CARD = ModelCard(
    name="m",
    title="M",
    family="sd1",
    path=Path(),
    size_bytes=0,
    defaults=ModelDefaults(width=128, height=128),
    size_limits=SizeLimits(minimum=64, maximum=256, multiple=16),
)


def parsed(*words: str) -> argparse.Namespace:
    return parser("en").parse_args(list(words))


@pytest.fixture
def inputs(tmp_path: Path) -> InputPictures:
    return InputPictures(tmp_path / "inputs")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "图 in.png"
    Image.new("RGB", (320, 240), "red").save(file)
    return file


def test_only_what_was_said_is_in_the_request():
    assert txt2img(parsed("txt2img", "a cat")) == GenerationRequest(prompt="a cat")


def test_the_groups_of_txt2img():
    request = txt2img(
        parsed(
            "txt2img", "a cat", "--hires", "1.5", "--hires-steps", "6", "--hires-denoise", "0.4",
            "--refiner", "fine", "--refiner-at", "0.7", "--variation-seed", "4",
            "--variation-strength", "0.2", "--tiling", "x", "--vae", "v", "--rng", "nv",
            "--set", "hires.cfg_scale=3", "--set", "guidance.rescale=0.5",
        )
    )  # fmt: skip
    assert request.hires == Hires(scale=1.5, steps=6, denoising_strength=0.4, cfg_scale=3)
    assert request.refiner == Refiner(model="fine", switch_at=0.7)
    assert request.variation == Variation(seed=4, strength=0.2)
    assert (request.tiling, request.vae, request.rng) == ("x", "v", "nv")
    assert request.guidance.rescale == 0.5


def test_img2img_hands_its_picture_in_and_keeps_its_shape(inputs: InputPictures, picture: Path):
    request = img2img(parsed("img2img", str(picture), "a cat", "--denoise", "0.3"), inputs, CARD)
    assert request.prompt == "a cat"
    assert request.img2img is not None
    assert request.img2img == Img2Img(image=request.img2img.image, denoising_strength=0.3)
    assert inputs.open(request.img2img.image).getpixel((0, 0)) == (255, 0, 0)
    assert (request.width, request.height) == (144, 112)
    sized = img2img(parsed("img2img", str(picture), "x", "--width", "64"), inputs, CARD)
    assert (sized.width, sized.height) == (64, None)


def test_masks_and_sides(inputs: InputPictures, picture: Path):
    words = ("img2img", str(picture), "x", "--mask", str(picture), "--mask-blur", "0", "--content",
             "fill", "--only-masked", "--padding", "8", "--invert-mask")  # fmt: skip
    group = img2img(parsed(*words), inputs, CARD).img2img
    assert group is not None
    assert group.inpaint == Inpaint(
        mask=group.image, mode="not_masked", blur=0, content="fill", area="only_masked", padding=8
    )
    wide = img2img(parsed("img2img", str(picture), "x", "--left", "32"), inputs, CARD).img2img
    assert wide is not None
    assert wide.outpaint == Outpaint(left=32)


@pytest.mark.parametrize("bad", ["missing.png", "text.png", "."])
def test_a_file_that_is_no_picture_is_named(inputs: InputPictures, tmp_path: Path, bad: str):
    (tmp_path / "text.png").write_bytes(io.BytesIO(b"words").getvalue())
    with pytest.raises(UserError) as caught:
        img2img(parsed("img2img", str(tmp_path / bad), "x"), inputs, CARD)
    assert bad in caught.value.message("en")


def test_a_wrong_value_is_named():
    with pytest.raises(UserError, match="scale"):
        txt2img(parsed("txt2img", "x", "--hires", "99"))


def test_half_a_character_is_refused():
    """An argument that is no UTF-8 arrives with halves of characters in it."""
    with pytest.raises(UserError, match=r"half a character \(U\+DCFF, character 3\)"):
        txt2img(parsed("txt2img", "a \udcff"))
