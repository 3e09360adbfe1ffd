"""A picture is made again from what it says, and what is not as it was is said."""

from pathlib import Path

import pytest
from PIL import Image

from modules.errors import UserError
from modules.imaging import metadata
from modules.schema import GenerationRequest, ImageSaved, Img2Img
from modules.services.inputs import InputPictures
from modules.services.jobs import JobStore
from modules.services.reproduce import reproduce
from tests.services.fakes import FakeGenerate, FakePlugins, service


@pytest.fixture
def made(tmp_path):
    """Saved pictures of one job."""
    store = JobStore(tmp_path / "db")

    def make(**fields):
        job = store.submit(GenerationRequest(**{"seed": 11, **fields}))
        events = []
        with_inputs(tmp_path).run(job, events.append)
        return [
            tmp_path / "outputs" / event.path for event in events if isinstance(event, ImageSaved)
        ]

    yield make
    store.close()


def with_inputs(root: Path, **changes):
    return service(root, inputs=InputPictures(root / "inputs"), **changes)


def test_the_same_comes_out_identical(tmp_path, made):
    for path in made(prompt="cats", batch_size=2, batch_count=2):
        found = reproduce(path, with_inputs(tmp_path))
        assert found.identical and found.differing == 0 and found.reasons == ()


def test_the_whole_batch_is_made_as_it_was(tmp_path, made):
    path = made(batch_size=2, batch_count=2)[3]
    generate = FakeGenerate()
    assert reproduce(path, with_inputs(tmp_path, generate=generate)).identical
    assert generate.calls == [(2, 2)]


def test_another_program_model_and_size_are_reasons(tmp_path, made):
    (path,) = made()

    class Other(FakeGenerate):
        def __call__(self, *given, **options):
            return [each.resize((32, 32)) for each in super().__call__(*given, **options)]

    found = reproduce(
        path,
        with_inputs(tmp_path, generate=Other(), version="9.9", hashes=lambda card: "ffffffffff"),
    )
    assert not found.identical and found.differing == 1
    assert [reason.key for reason in found.reasons] == [
        "reproduce.size",
        "reproduce.model",
        "reproduce.program",
    ]
    words = [reason.message("en") for reason in found.reasons]
    assert "0123456789, now it is ffffffffff" in words[1]
    assert found.reasons[2].message("zh") != words[2]


def test_pixels_that_differ_are_counted(tmp_path, made):
    (path,) = made()

    class Other(FakeGenerate):
        def __call__(self, *given, **options):
            (image,) = super().__call__(*given, **options)
            red, green, blue = image.getpixel((0, 0))
            image.paste((red, green, blue ^ 3), (0, 0, 64, 32))
            return [image]

    found = reproduce(path, with_inputs(tmp_path, generate=Other()))
    assert (found.differing, found.largest) == (0.5, 3)


def test_a_text_alone_is_tried_and_said(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(
        "parameters", "a cat\nSteps: 3, Sampler: Euler a, Seed: 5, Size: 64x64, Lora hashes: x"
    )
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png", pnginfo=info)
    found = reproduce(tmp_path / "x.png", with_inputs(tmp_path))
    assert found.request.seed == 5
    assert found.reasons[0].key == "reproduce.text_only"
    assert "Lora hashes" in found.reasons[0].message()


def test_extensions_read_what_is_theirs_in_a_text(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    class Reading(FakePlugins):
        def read_parameters(self, parameters):
            assert dict(parameters) == {"Curve": "2", "Else": "1"}
            return {"curves": {"enabled": True, "amount": 2}}, {"Curve"}

    info = PngInfo()
    info.add_text(
        "parameters", "a cat\nSteps: 3, Sampler: Euler a, Seed: 5, Size: 64x64, Curve: 2, Else: 1"
    )
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png", pnginfo=info)
    found = reproduce(tmp_path / "x.png", with_inputs(tmp_path, plugins=Reading()))
    assert found.request.extras == {"curves": {"enabled": True, "amount": 2}}
    assert found.reasons[0].values == (("unused", "Else: 1"),)


@pytest.mark.parametrize("text", [None, "just words", "a\nSteps: 3, CFG scale: 5, Size: 64x64"])
def test_a_picture_that_says_too_little(tmp_path, text):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if text:
        info.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png", pnginfo=info)
    with pytest.raises(UserError, match="cannot be made again"):
        reproduce(tmp_path / "x.png", with_inputs(tmp_path))


def test_an_input_picture_that_is_gone_is_said(tmp_path):
    request = GenerationRequest(seed=1, model="tiny", img2img=Img2Img(image="a" * 64).model_dump())
    data = metadata.encode(Image.new("RGB", (64, 64)), request, "", job="x", index=0)
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UserError, match="aaaaaaaaaaaa… that the request names is not here"):
        reproduce(tmp_path / "x.png", with_inputs(tmp_path))
