"""A picture says exactly what made it."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules.errors import LimitError, UserError
from modules.imaging import metadata
from modules.imaging.pictures import open_picture, thumbnail
from modules.schema import GenerationRequest

any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)
nasty = st.sampled_from(
    [
        "a\nNegative prompt: b\nNegative prompt: c",
        "x\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1",
        '"quoted", (weights:1.2), [a|b], \\(escaped\\)',
        "一只猫，坐在窗边 🐈‍⬛ é",
        "  spaces  \n\n",
        "",
    ]
)
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | any_text
requests = st.builds(
    GenerationRequest,
    prompt=nasty | any_text,
    negative_prompt=nasty | any_text,
    model=st.none() | any_text,
    width=st.none() | st.integers(8, 2048),
    steps=st.none() | st.integers(1, 150),
    cfg_scale=st.none() | st.floats(0, 100),
    seed=st.integers(0, 2**32 - 1),
    extras=st.dictionaries(any_text, st.dictionaries(any_text, plain, max_size=3), max_size=2),
)


def picture(mode="RGB"):
    return Image.new(mode, (8, 8))


@given(requests, st.integers(0, 99))
def test_the_request_comes_back_equal(request, index):
    text = metadata.infotext(request, index=index, facts=metadata.PictureFacts(version="N"))
    data = metadata.encode(picture(), request, text, job="0a1b2c3d", index=index, model_hash="ff")
    found = metadata.decode(io.BytesIO(data))
    assert found.exact
    assert found.request == request
    assert found.infotext == text
    assert found.data == {"version": 1, "job": "0a1b2c3d", "index": index, "model_hash": "ff"}


def test_others_find_the_text_where_they_look():
    data = metadata.encode(picture(), GenerationRequest(), "plain words", job="x", index=0)
    assert b"tEXtparameters\0plain words" in data


def test_without_json_the_text_is_read():
    info = PngInfo()
    info.add_text("parameters", "a cat\nSteps: 5, Seed: 9, CFG scale: 2")
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=info)
    found = metadata.decode(buffer)
    assert not found.exact
    assert found.request == GenerationRequest(prompt="a cat", steps=5, seed=9, cfg_scale=2)


@pytest.mark.parametrize("body", ["", "{", "[]", '{"request": {"steps": "x"}}', "[" * 100_000])
def test_broken_json_falls_back_to_the_text(body):
    info = PngInfo()
    info.add_text("parameters", "a cat")
    info.add_itxt("noisette", body)
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=info)
    assert metadata.decode(buffer).request == GenerationRequest(prompt="a cat")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_user_comment_of_other_formats(kind, order):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a cat\nSteps: 5, Seed: 9, CFG scale: 2".encode(
        order
    )
    buffer = io.BytesIO()
    picture().save(buffer, kind, exif=exif)
    assert metadata.decode(buffer).request.prompt == "a cat"


def test_a_picture_without_a_word():
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    assert metadata.decode(buffer) == metadata.Decoded()


def test_a_request_too_large_to_carry():
    request = GenerationRequest(extras={"e": {"image": "x" * metadata.MAX_JSON}})
    with pytest.raises(LimitError, match="carries at most"):
        metadata.encode(picture(), request, "", job="x", index=0)


def header(width, height):
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n\0\0\0\x0d"
        + ihdr
        + struct.pack(">I", zlib.crc32(ihdr))
        + b"\0\0\0\x08IDAT"
    )


@pytest.mark.parametrize("side", [8001, 13_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(side):
    with pytest.raises(LimitError, match="at most 64000000"):
        open_picture(io.BytesIO(header(side, 8000)))


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF"])
def test_other_formats_are_refused(kind):
    buffer = io.BytesIO()
    picture().save(buffer, kind)
    with pytest.raises(UserError, match="Use one of: PNG, JPEG, WEBP"):
        metadata.decode(buffer)


def test_a_truncated_picture_is_refused():
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    with pytest.raises(UserError, match="cannot be read"):
        thumbnail(io.BytesIO(buffer.getvalue()[:500]), 16)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_thumbnail(tmp_path, mode):
    Image.new(mode, (300, 100)).save(tmp_path / "a.png")
    with Image.open(io.BytesIO(thumbnail(tmp_path / "a.png", 32))) as small:
        assert small.size == (32, 11)
