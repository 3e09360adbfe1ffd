"""The four styles that come along do what their cards say, on the model that comes along: measured, not by shapes."""

import importlib.util
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from modules.plugins.bench import Bench

HERE = Path(__file__).resolve()
PROJECT = HERE.parents[3]
LORAS = PROJECT / "models" / "lora"
NAMES = ("ink_outline", "watercolour", "night_glow", "blueprint")
PROMPTS = ("a castle on a blue background", "an owl on a green background")
WEIGHTS = (0.0, 0.5, 1.0)
"""For the tests; tools/style_loras/evaluate.py measures more of them, on more prompts."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def tool(name: str) -> ModuleType:
    """A file of tools/style_loras, which is no package."""
    path = PROJECT / "tools" / "style_loras" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"style_loras_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


styles, changes = tool("styles"), tool("changes")

Make = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def make() -> Iterator[Make]:
    """Pictures of the prompts with tags, each made once."""
    bench = Bench(HERE.parents[1])
    made: dict[tuple[str, ...], np.ndarray] = {}

    def get(*tags: str) -> np.ndarray:
        if tags not in made:
            made[tags] = np.stack(
                [
                    np.asarray(
                        bench.picture(
                            prompt=" ".join((prompt, *tags)),
                            seed=11 + number,
                            width=128,
                            height=128,
                            steps=10,
                            cfg_scale=2.5,
                        ).convert("RGB")
                    )
                    for number, prompt in enumerate(PROMPTS)
                ]
            )
        return made[tags]

    yield get
    bench.close()


def measure(name: str, pictures: np.ndarray) -> float:
    found: float = styles.STYLES[name].measure(pictures)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_files(name: str):
    assert (LORAS / f"{name}.safetensors").stat().st_size < 2_000_000
    card = json.loads((LORAS / f"{name}.json").read_text(encoding="utf-8"))
    style = styles.STYLES[name]
    assert (card["description"], card["activation text"]) == (style.note, style.words)
    with Image.open(LORAS / f"{name}.png") as picture:
        assert picture.size == (256, 256)
    with safe_open(LORAS / f"{name}.safetensors", "np") as file:
        told = file.metadata()
    assert told["modelspec.license"] == "CC0-1.0"
    assert told["modelspec.title"] == style.title


@pytest.mark.parametrize("name", NAMES)
def test_a_style_grows_with_its_weight(make: Make, name: str):
    said = [measure(name, make(*([f"<lora:{name}:{w:g}>"] if w else []))) for w in WEIGHTS]
    assert all(less < more for less, more in itertools.pairwise(said)), said
    assert said[-1] > said[0] + 0.2, said


@pytest.mark.parametrize("one, two", [("ink_outline", "night_glow"), ("watercolour", "blueprint")])
def test_two_styles_show_in_a_mix(make: Make, one: str, two: str):
    plain, both = make(), make(f"<lora:{one}:0.7>", f"<lora:{two}:0.7>")
    for name in (one, two):
        assert measure(name, both) > measure(name, plain) + 0.05, name


@pytest.mark.parametrize("name", NAMES)
def test_what_the_guide_says_rises_all_the_way(name: str):
    told = json.loads((PROJECT / "docs" / "lora" / "figures.json").read_text(encoding="utf-8"))
    said = told["responses"][name]
    assert list(said) == ["0", "0.25", "0.5", "0.75", "1"]
    assert all(less < more for less, more in itertools.pairwise(said.values())), said


@pytest.mark.parametrize("name", NAMES)
def test_the_second_half_of_the_steps_changes_texture_more_than_layout(make: Make, name: str):
    pairs = list(zip(make(), make(f"<lora:{name}:1:start=0.5:end=1>"), strict=True))
    layout = np.mean([changes.layout_change(*pair) for pair in pairs])
    texture = np.mean([changes.texture_change(*pair) for pair in pairs])
    assert texture > layout
    assert texture > 0.05
