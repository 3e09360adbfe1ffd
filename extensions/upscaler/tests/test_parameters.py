"""What a picture's text says of enlarging comes back through the door."""

from pathlib import Path

import pytest

from extensions.upscaler.infotext import written
from extensions.upscaler.options import UpscalerOptions
from modules.imaging import infotext
from modules.plugins import Host
from modules.plugins.bench import MODELS
from modules.plugins.parameters import flat

pytest_plugins = ["modules.plugins.testing"]

HOST = Host("upscaler", Path(__file__).parents[1], MODELS, Path("nowhere"))
TEXT = "a cat\nSteps: 4, Seed: 1, Size: 64x64"
ALL = [
    {"upscaler": "Lanczos", "scale": 1.5},
    {"upscaler": "Nearest", "mode": "to", "width": 300, "height": 200, "crop": False},
    {
        "upscaler": "pocket_x4", "upscaler_2": "Bicubic", "blend": 0.25, "denoise": 0.5, "sharpen": 1.25,
        "mode": "to", "width": 300, "height": 200,
    },
    {"upscaler": "None", "scale": 1.0, "face": "pocket_x2", "face_amount": 0.4},
]  # fmt: skip


@pytest.mark.parametrize("options", ALL)
def test_a_finished_picture_says_what_was_done(bench, options):
    asked = UpscalerOptions(enabled=True, **options)
    text = infotext.extended(TEXT, written(HOST, asked, faces="face" in options))
    found, unused = infotext.to_request(text, bench.plugins.read_parameters)
    assert unused == ()
    assert found.extras == {"upscaler": asked.model_dump(mode="json")}


@pytest.mark.parametrize("options", ALL)
def test_so_does_one_that_was_made_with_it(bench, options):
    request = bench.request(options)
    said = written(HOST, UpscalerOptions(**request.extras["upscaler"]), faces=False)
    text = infotext.extended(TEXT, {**flat(request.extras), **said})
    found, unused = infotext.to_request(text, bench.plugins.read_parameters)
    assert (found.extras, unused) == (request.extras, ())


def test_as_other_programs_write_it(bench):
    said = {"Postprocess upscale by": "2", "Postprocess upscaler": "lanczos"}
    found, used = bench.plugins.read_parameters(said)
    assert used == said.keys()
    assert (found["upscaler"]["upscaler"], found["upscaler"]["scale"]) == ("Lanczos", 2)


@pytest.mark.parametrize(
    "said",
    [
        {"Postprocess upscale by": "2", "Postprocess upscaler": "R-ESRGAN 4x+"},
        {"Postprocess upscale by": "90", "Postprocess upscaler": "Lanczos"},
        {"Postprocess upscale to": "wide"},
        {"Upscale": "2"},
    ],
)
def test_what_cannot_be_done_here_is_left(bench, said):
    assert bench.plugins.read_parameters(said) == ({}, set())
