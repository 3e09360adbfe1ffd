"""The extension as the program meets it: loaded by its manifest, asked by its hook, run from the terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from extensions.grid.commands import grid
from modules.errors import UserError
from modules.plugins import GenerationRequest, Host
from modules.plugins.fields import core_axes
from modules.plugins.manager import Plugins

EXTENSIONS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plugins() -> Iterator[Plugins]:
    loaded = Plugins.load(EXTENSIONS)
    yield loaded
    loaded.close()


def asked(**options: object) -> GenerationRequest:
    extras = {"grid": {"enabled": True, **options}, "freeu": {"enabled": True, "b1": 1.1}}
    return GenerationRequest(prompt="a cat", seed=5, extras=extras)


def test_it_lays_out_fields_and_options_of_others(plugins):
    request = plugins.check(asked(x="steps", x_values=[4, 8], y="freeu.b1", y_values="1.2, 1.4"))
    assert plugins.lays_out(request)
    layout = plugins.lay_out(request, (*core_axes(), *plugins.axes()), 256)
    assert layout is not None
    found = [(cell.request.steps, cell.request.extras["freeu"]["b1"]) for cell in layout.cells]
    assert found == [(4, 1.2), (8, 1.2), (4, 1.4), (8, 1.4)]
    assert all("grid" not in cell.request.extras for cell in layout.cells)
    for cell in layout.cells:
        assert plugins.check(cell.request).extras["freeu"]["b1"] in (1.2, 1.4)


def test_without_it_nothing_is_laid_out(plugins):
    request = plugins.check(GenerationRequest(extras={"grid": {"enabled": False, "x": "steps"}}))
    assert request.extras == {} and not plugins.lays_out(request)
    assert plugins.lay_out(request, (), 256) is None


def test_its_words_are_its_users(plugins):
    request = plugins.check(asked(x="steps", x_values="many"))
    with pytest.raises(UserError) as caught:
        plugins.lay_out(request, tuple(core_axes()), 256)
    assert caught.value.message("en") == (
        "X: Steps: 'many' does not fit. Give a number or a range, such as 4 or 1-5 (+2)."
    )


def test_an_option_that_is_wrong_is_named(plugins):
    with pytest.raises(UserError, match="mode"):
        plugins.check(asked(mode="table"))


class Queue:
    """Keeps what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[GenerationRequest] = []

    def check_target(self, target: str) -> None:
        assert target.endswith("/")

    def save(self, picture: Path, target: str, stem: str) -> Path:
        return Path(target) / f"{stem}.png"

    def run(self, request: GenerationRequest) -> list[Path]:
        self.requests.append(request)
        path = self.folder / "one.png"
        Image.new("RGB", (4, 4)).save(path)
        return [path]


@pytest.fixture
def run(tmp_path: Path):
    queue = Queue(tmp_path)
    host = Host("grid", tmp_path, tmp_path, tmp_path)

    def call(*words: str) -> tuple[str, GenerationRequest]:
        said = grid(words, host, queue)
        return said, queue.requests[-1]

    return call


def test_from_the_terminal(run, tmp_path):
    words = ("--x", "steps=4, 8", "--y", "freeu.b1=1-2 [3]", "--set", "hires.scale=2")
    said, request = run("a cat", *words, "--set", "frame.width=6", "--output", "there")
    assert said == "there/one.png"
    assert request.hires is not None and request.hires.scale == 2
    assert request.extras["frame"] == {"enabled": True, "width": 6}
    options = request.extras["grid"]
    assert (options["x"], options["x_values"], options["y"]) == ("steps", "4, 8", "freeu.b1")
    assert (options["y_values"], options["mode"], options["sheet"]) == ("1-2 [3]", "axes", True)
    (tmp_path / "list.txt").write_text("\ufeffa cat\n一只狗\n", encoding="utf-8")
    _, request = run("--prompts", str(tmp_path / "list.txt"), "--no-sheet", "--seeds", "next")
    options = request.extras["grid"]
    assert (options["mode"], options["prompts"]) == ("prompts", "a cat\n一只狗\n")
    assert (options["sheet"], options["seeds"]) == (False, "next")
    _, request = run("a|b", "--matrix")
    assert request.extras["grid"]["mode"] == "matrix"


@pytest.mark.parametrize(
    "words, said",
    [
        (("a", "--x", "steps"), "write it as steps=4,8"),
        (("a", "--sett", "x"), "It goes: noisette grid"),
        (("a", "--set", "steps"), "write it as steps=20"),
        (("a", "--set", "steps=-3"), "steps cannot be '-3'"),
        (("--prompts", "/nowhere.txt"), "/nowhere.txt cannot be read"),
    ],
)
def test_what_is_wrong_in_the_terminal(run, words, said):
    with pytest.raises(UserError, match=said):
        run(*words)
