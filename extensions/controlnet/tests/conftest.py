"""Tiny models of each family, and a folder of control models."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from extensions.controlnet.checks import check_units
from extensions.controlnet.options import ControlNetOptions
from extensions.controlnet.worker import ControlNetWorker
from modules.diffusion.inputs import Inputs
from modules.diffusion.pipeline import generate
from modules.errors import UserError
from modules.library.load import load
from modules.library.scan import read_card
from modules.plugins.host import Host
from modules.schema import GenerationRequest
from tests.fixtures.tiny import SIDE, make_tiny

from . import made


class Kept:
    """Pictures in memory."""

    def __init__(self) -> None:
        self.found: dict[str, Image.Image] = {}

    def keep(self, image: Image.Image) -> str:
        name = hashlib.sha256(image.tobytes()).hexdigest()
        self.found[name] = image
        return name

    def open(self, name: str) -> Image.Image:
        if name not in self.found:
            raise UserError("error.input.missing", id=name[:12])
        return self.found[name]

    def size(self, name: str) -> tuple[int, int]:
        return self.open(name).size


@pytest.fixture(scope="package")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The model of a family."""

    @cache
    def model(family: str) -> Any:
        folder = tmp_path_factory.mktemp("control") / family
        kind = family.removesuffix(" text first")
        make_tiny(folder, family=kind)  # type: ignore[arg-type]
        parts = load(read_card(folder), device="cpu", precision="fp32")
        return made.with_text_first(parts) if kind != family else parts

    return model


@pytest.fixture(scope="package")
def tensors(tiny: Callable[[str], Any]) -> dict[str, Any]:
    """A ControlNet of the tiny SD 1.x model, in diffusers' layout."""
    return dict(made.controlnet(tiny("sd1").unet).state_dict())


@pytest.fixture
def one(host: Host, tensors: dict[str, Any]) -> str:
    """Its name, once it lies in the folder."""
    made.write(host.models / "controlnet" / "one.safetensors", tensors)
    return "one"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    folder = Path(__file__).parents[1]
    return Host("controlnet", folder, tmp_path / "models", tmp_path / "data", pictures=Kept())


@pytest.fixture
def picture(host: Host) -> str:
    """The id of a picture with edges: a bright square."""
    return host.keep_picture(square(48))


def square(side: int) -> Image.Image:
    """A bright square on dark ground."""
    pixels = np.full((side, side, 3), 20, np.uint8)
    pixels[side // 4 : side // 2, side // 4 : side // 2] = 230
    return Image.fromarray(pixels)


@pytest.fixture
def draw(host: Host, tiny: Callable[[str], Any]) -> Callable[..., Image.Image]:
    """A picture of a family's tiny model, with units."""

    def drawn(units: list[dict[str, Any]], family: str = "sd1", **fields: Any) -> Image.Image:
        plain = {
            "prompt": "a cat",
            "negative_prompt": "a dog",
            "width": SIDE,
            "height": SIDE,
            "steps": 2,
            "cfg_scale": 3.0,
            "sampler": "euler",
            "schedule": "default",
            "seed": 7,
        }
        request = GenerationRequest(**{**plain, **fields})
        options = ControlNetOptions.model_validate({"units": units})
        parts = tiny(family)
        adapter = ControlNetWorker(host).prepare_generation(request, options, parts)
        check_units(host, options.units, parts.family)  # what the job takes is not refused before
        adapters = [] if adapter is None else [adapter]
        (image,) = generate(parts, request, adapters, lambda progress: None, inputs=Inputs())
        return image

    return drawn
