"""The extension through the door: the list of upscalers, hires fix, the command, the tab's question."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extensions.upscaler.commands import upscale
from extensions.upscaler.desk import functions
from extensions.upscaler.words import WORDS
from modules.plugins import Host, Postprocess, UserError

MODELS = Path(__file__).resolve().parents[3] / "models"

pytest_plugins = ["modules.plugins.testing"]

SHIPPED = {"pocket_x2": 2, "pocket_x4": 4}


def test_files_and_filters_are_in_the_list_of_upscalers(bench):
    listed = [row.name for row in bench.plugins.upscalers()]
    assert {"Bicubic", "Box", *SHIPPED} <= set(listed)
    assert not {"None", "Lanczos", "Nearest"} & set(listed)  # the program has them


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_models_are_what_their_cards_say(name, bench):
    """Better than Lanczos on a picture that neither has seen, and for hires fix at any size."""
    from skimage import data

    true = Image.fromarray(data.astronaut()[:192, 130:322])
    scale = SHIPPED[name]
    small = true.resize((192 // scale, 192 // scale), Image.Resampling.BICUBIC)
    made = bench.plugins.upscaling()[name].upscale(small, *true.size, lambda: None)
    plain = small.resize(true.size, Image.Resampling.LANCZOS)

    def error(image):
        return np.mean((np.asarray(image, float) - np.asarray(true, float)) ** 2)

    assert error(made) < error(plain)
    assert bench.plugins.upscaling()[name].upscale(small, 75, 50, lambda: None).size == (75, 50)
    card = json.loads((MODELS / "upscalers" / f"{name}.json").read_text(encoding="utf-8"))
    every = card["figures"]["all"]
    assert every["psnr"] >= every["psnr_lanczos"] + 0.5
    assert every["sharpness"] > every["sharpness_lanczos"] * 1.1


def test_as_a_finisher_of_a_generation(bench):
    plain = bench.picture()
    with bench.unchanged():
        made = bench.picture({"upscaler": "Nearest", "scale": 2})
    assert made.tobytes() == plain.resize((128, 128), Image.Resampling.NEAREST).tobytes()
    with pytest.raises(UserError, match="no upscaler"):
        bench.picture({"upscaler": "gone"})


def test_what_the_job_would_refuse_is_refused_before(bench):
    def ask(options, **fields):
        bench.plugins.check_request(bench.request(options, **fields), "sd1")

    for name in ("upscaler", "upscaler_2", "face"):
        with pytest.raises(UserError, match="no upscaler “gone”"):
            ask({name: "gone"})
    ask({"scale": 8}, width=512, height=512)
    with pytest.raises(UserError, match="more than 64 million"):
        ask({"scale": 8}, width=2048, height=2048)
    picture = bench.pictures.keep(Image.new("RGB", (2048, 2048)))
    finished = bench.request({"scale": 8}).replace(postprocess=Postprocess(image=picture))
    with pytest.raises(UserError, match="more than 64 million"):
        bench.plugins.check_request(finished, "")
    bench.plugins.check_request(finished.replace(extras=bench.request({"scale": 2}).extras), "")


class Queue:
    """Takes pictures in and gives each back as it is."""

    def __init__(self, folder):
        self.folder = folder
        self.kept = {}
        self.asked = []
        self.targets = []

    def keep(self, data, name):
        if not data.startswith(b"\x89PNG"):
            raise UserError("error.picture.format", name=name, formats="PNG")
        number = f"{len(self.kept):064x}"
        self.kept[number] = data
        return Postprocess(image=number, name=name, infotext="a red apple")

    def run(self, request):
        self.asked.append(request)
        made = self.folder / f"{len(self.asked)}.png"
        made.write_bytes(self.kept[request.postprocess.image])
        return [made]

    def check_target(self, target):
        self.targets.append(target)

    def save(self, picture, target, stem):
        return Path(target) / f"{stem}.png"


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path)


@pytest.fixture
def here(tmp_path):
    return Host("upscaler", tmp_path, MODELS, tmp_path / "data")


def pictures(tmp_path, *names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(tmp_path / name)
    return [str(tmp_path / name) for name in names]


def test_the_command_queues_each_picture_with_its_text(tmp_path, queue, here):
    words = [
        *pictures(tmp_path, "a/x.png", "b/x.png"),
        "--scale",
        "3",
        "--upscaler",
        "Box",
        "--output",
        "out",
    ]
    said = upscale(words, here, queue)
    assert said.splitlines() == ["out/x.png", "out/x-2.png"]
    (first, _) = queue.asked
    assert first.postprocess.infotext == "a red apple"
    assert first.extras["upscaler"]["scale"] == 3 and first.extras["upscaler"]["enabled"]
    assert queue.targets == ["out"]


def test_a_folder_goes_on_past_what_is_no_picture(tmp_path, queue, here):
    pictures(tmp_path, "many/a.png", "many/b.png")
    (tmp_path / "many" / "bad.jpg").write_bytes(b"no")
    with pytest.raises(UserError, match=r"(?s)1 of 3 .*bad\.jpg"):
        upscale([str(tmp_path / "many"), "--output", "out"], here, queue)
    assert len(queue.asked) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output", "o"], "pictures"),
        (["{x}"], "output"),
        (["{x}", "--scale", "9", "--output", "o"], r"--scale 9.0: give something from 1 to 8"),
        (["{x}", "--size", "big", "--output", "o"], "1024x768"),
        (["{x}", "--scale", "two", "--output", "o"], "two"),
        (["nowhere.png", "--output", "o"], r"no file nowhere\.png"),
        (["{empty}", "--output", "o"], "no picture in"),
    ],
)
def test_wrong_words_are_told(tmp_path, queue, here, words, said):
    (picture,) = pictures(tmp_path, "x.png")
    (tmp_path / "empty").mkdir()
    given = [word.format(x=picture, empty=tmp_path / "empty") for word in words]
    with pytest.raises(UserError, match=said):
        upscale(given, here, queue)
    assert not queue.asked


def test_the_tab_learns_what_there_is(here):
    (choices,) = functions(here)
    answer = choices({})
    assert answer["upscalers"][0] == "None" and "pocket_x4" in answer["upscalers"]
    assert answer["fields"]["scale"]["high"] == 8
    assert str(here.models) not in json.dumps(answer)
    assert WORDS["en"].keys() == WORDS["zh"].keys()
