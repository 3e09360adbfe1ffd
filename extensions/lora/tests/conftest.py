"""A tiny model, and folders with LoRA files for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from extensions.lora.adapter import Mix, Strand
from extensions.lora.loaded import Loader, Lora
from extensions.lora.rows import Row
from extensions.lora.shelf import File, Shelf
from modules.library.load import load
from modules.library.scan import read_card
from tests.fixtures.tiny import make_tiny

from . import made


@pytest.fixture(scope="package")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("lora") / "tiny"
    make_tiny(folder)
    return load(read_card(folder), device="cpu", precision="fp32")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(5)
    yield


@dataclass
class Bench:
    """A shelf of files for the tiny model, and what the tests do with them."""

    models: Path
    parts: Any

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.models)
        self.loader = Loader(self.shelf)

    def add(self, name: str, tensors: dict[str, torch.Tensor], **metadata: str) -> File:
        path = made.write(self.models / "lora" / f"{name}.safetensors", tensors, **metadata)
        return File(name, path)

    def lora(self, name: str) -> Lora:
        return self.loader.load(self.shelf.find(Row(name=name)), self.parts)

    def mix(self, *rows: Row) -> Mix:
        return Mix([Strand(row, self.lora(row.name)) for row in rows])


@pytest.fixture
def bench(tmp_path: Path, parts: Any) -> Bench:
    return Bench(tmp_path / "models", parts)


@pytest.fixture
def answer(parts: Any) -> Callable[..., torch.Tensor]:
    """What the tiny U-Net says of `rows` noisy pictures, with the text encoder's word for them."""
    noise = torch.randn(8, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(0, 300, (8, 77), generator=torch.Generator().manual_seed(2))

    def run(rows: int = 1) -> torch.Tensor:
        with torch.inference_mode():
            text = parts.text_encoder(input_ids=ids[:rows]).last_hidden_state
            (found,) = parts.unet(noise[:rows], 500, encoder_hidden_states=text, return_dict=False)
        return found

    return run
