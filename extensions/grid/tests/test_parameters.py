"""A grid in a sheet's text comes back: ours by its options, those of the A1111 family by their axes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from extensions.grid.infotext import _NAMES
from modules.imaging import infotext
from modules.imaging.infotext import PictureFacts
from modules.plugins.fields import core_axes
from modules.plugins.manager import Plugins
from modules.plugins.parameters import flat
from modules.schema import GenerationRequest

TEXT = "a cat\nSteps: 4, Seed: 1, Size: 64x64, "


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugins]:
    folder = tmp_path_factory.mktemp("extensions")
    (folder / "grid").symlink_to(Path(__file__).parents[1], target_is_directory=True)
    loaded = Plugins.load(folder)
    yield loaded
    loaded.close()


@pytest.mark.parametrize(
    "options",
    [
        {"x": "steps", "x_values": [4, 8], "y": "prompt_sr", "y_values": 'cat, "a ""big"" dog, wet"'},
        {"x": "cfg_scale", "x_values": "1-5 (+2)", "z": "seed", "z_values": "1, 2, .., 9", "seeds": "next"},
        {"mode": "prompts", "prompts": "a cat\n" * 100 + '--steps 4 --prompt "a: dog"', "sheet": False},
        {"mode": "matrix", "matrix_in": "negative_prompt"},
    ],
)  # fmt: skip
def test_ours(plugins: Plugins, options: dict[str, object]) -> None:
    request = GenerationRequest(
        prompt="a cat", seed=1, steps=4, extras={"grid": {"enabled": True, **options}}
    )
    asked = plugins.check(request)
    text = infotext.write(asked, index=0, facts=PictureFacts(extras=flat(asked.extras)))
    found, unused = infotext.to_request(text, plugins.read_parameters)
    assert (found.extras, unused) == (asked.extras, ())


def test_those_of_other_programs(plugins: Plugins) -> None:
    text = TEXT + (
        'Script: X/Y/Z plot, X Type: Seed, X Values: "-1, -1", Fixed X Values: "17, 4", '
        'Y Type: Prompt S/R, Y Values: "cat, \\"a dog, wet\\"", Z Type: Nothing, Version: v1.10.1'
    )
    found, unused = infotext.to_request(text, plugins.read_parameters)
    assert unused == ()
    told = found.extras["grid"]
    assert (told["x"], told["x_values"]) == ("seed", "17, 4")
    assert (told["y"], told["y_values"], told["z"]) == ("prompt_sr", 'cat, "a dog, wet"', "")
    layout = plugins.lay_out(plugins.check(found), list(core_axes()), 99)
    assert layout is not None
    assert [cell.request.seed for cell in layout.cells] == [17, 4, 17, 4]
    assert [cell.request.prompt for cell in layout.cells[1:3]] == ["a cat", "a a dog, wet"]


def test_every_axis_of_the_table_is_one_of_ours() -> None:
    known = {axis.name for axis in core_axes()} | {"prompt_sr", "prompt_order", ""}
    assert set(_NAMES.values()) <= known


@pytest.mark.parametrize(
    "said",
    [
        {"X Type": "Hypertile", "X Values": "1"},
        {"X Type": "Steps"},
        {"X Type": "Nothing", "Script": "X/Y/Z plot"},
        {"X Values": "1, 2"},
        {"X Type": "Steps", "X Values": "1", "Y Type": "Denoising", "Y Values": "0.4"},
    ],
)
def test_what_means_no_grid_here_is_left(plugins: Plugins, said: dict[str, str]) -> None:
    assert plugins.read_parameters(said) == ({}, set())
