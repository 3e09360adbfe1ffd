"""Pillow held to our limit."""

import io
import warnings

import pytest
from PIL import Image

from modules.errors import LimitError
from modules.imaging.pictures import cap_pillow, open_picture


def test_pillow_itself_is_held_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both are put back afterwards: they are the process's.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    data = io.BytesIO()
    Image.new("1", (16_001, 10_000)).save(data, "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        cap_pillow()
        with pytest.raises(Image.DecompressionBombWarning):
            Image.open(data)
        Image.open(io.BytesIO(small())).load()
        with pytest.raises(LimitError, match="has 160010000 pixels"):
            open_picture(data)


def small() -> bytes:
    data = io.BytesIO()
    Image.new("1", (8000, 8)).save(data, "PNG")
    return data.getvalue()
