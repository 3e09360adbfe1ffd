"""The edge ControlNet that comes along, on the model that comes along."""

import json

import cv2
import numpy as np
from PIL import Image, ImageDraw

from modules.plugins.bench import MODELS, Bench

pytest_plugins = ["modules.plugins.testing"]


def edges(image: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return cv2.Canny(np.asarray(image.convert("RGB")), 100, 200)  # type: ignore[return-value]


def found(made: Image.Image, wanted: Image.Image) -> float:
    """Share of the wanted edges that are there within two pixels."""
    near = cv2.dilate(edges(made), np.ones((5, 5), np.uint8)) > 0
    return float(near[edges(wanted) > 0].mean())


def test_it_draws_along_the_edges(bench: Bench) -> None:
    source = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(source).ellipse((14, 44, 84, 114), fill=(211, 44, 50))
    unit = {
        "image": bench.pictures.keep(source),
        "module": "canny",
        "model": "pocket_canny",
        "pixel_perfect": True,
    }
    fields = {
        "prompt": "a red circle on a white background",
        "width": 128,
        "height": 128,
        "steps": 6,
        "seed": 5,
    }
    without = found(bench.picture(None, **fields), source)
    with bench.unchanged():
        steered = found(bench.picture({"units": [unit]}, **fields), source)
    assert steered > 0.6 and steered > without + 0.2, (without, steered)


def test_its_card() -> None:
    card = json.loads((MODELS / "controlnet" / "pocket_canny.json").read_text(encoding="utf-8"))
    file = MODELS / "controlnet" / "pocket_canny.safetensors"
    assert card["bytes"] == file.stat().st_size < 8_000_000
    figures = card["edge F1"]
    assert figures["weight 1"] > figures["off"] + 0.2
    assert figures["off"] < figures["weight 0.5"] < figures["weight 1"]
    assert figures["end 0.1"] < figures["end 0.3"] < figures["weight 1"]
