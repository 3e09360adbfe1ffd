"""A picture in another format still says what made it."""

from pathlib import Path

import pytest
from PIL import Image

from modules.errors import LimitError
from modules.imaging import metadata
from modules.imaging.export import convert
from modules.schema import GenerationRequest

TEXT = "a red apple, 苹果\nNegative prompt: blur\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x64"


def saved(folder: Path, text: str = TEXT, mode: str = "RGB") -> Path:
    path = folder / "x.png"
    image = Image.new(mode, (64, 48), (200, 30, 30, 0)[: len(mode)])
    path.write_bytes(metadata.encode(image, GenerationRequest(), text, job="j", index=0))
    return path


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP")]
)
def test_the_text_is_where_everybody_reads_it(tmp_path: Path, suffix: str, kind: str):
    copy = tmp_path / f"copy{suffix}"
    copy.write_bytes(convert(saved(tmp_path), suffix))
    with Image.open(copy) as image:
        assert (image.format, image.size) == (kind, (64, 48))
        raw = image.getexif().get_ifd(0x8769)[0x9286]
        assert raw == b"UNICODE\x00" + TEXT.encode("utf-16-be")
        red, green, _ = image.convert("RGB").getpixel((30, 20))
        assert red > 180 and green < 60
    decoded = metadata.decode(copy)
    assert decoded.infotext == TEXT
    assert decoded.request is not None
    assert (decoded.request.seed, decoded.request.prompt) == (5, "a red apple, 苹果")


def test_a_jpeg_shows_what_is_transparent_on_white(tmp_path: Path):
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(convert(saved(tmp_path, mode="RGBA"), ".jpg"))
    with Image.open(copy) as image:
        assert min(image.getpixel((30, 20))) > 250


def test_a_text_that_a_jpeg_cannot_carry_is_refused(tmp_path: Path):
    long = saved(tmp_path, "x" * 40_000)
    with pytest.raises(LimitError, match="40000 characters"):
        convert(long, ".jpg")
    assert metadata.decode(long).infotext
    copy = tmp_path / "copy.webp"
    copy.write_bytes(convert(long, ".webp"))
    assert metadata.decode(copy).infotext == "x" * 40_000
