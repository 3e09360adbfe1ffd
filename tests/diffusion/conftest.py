"""A tiny model with random weights, made once; see tests/fixtures/tiny.py."""

from pathlib import Path

import pytest
import torch

from modules.diffusion.parts import Parts
from modules.library.load import load
from modules.library.scan import read_card
from modules.schema import GenerationRequest
from tests.fixtures.tiny import SIDE, make_tiny

# torch 2.14's tensors know only the first version of numpy's array protocol, and numpy 2.4 says so whenever one of
# diffusers' schedulers turns a tensor into an array. Nothing of it is ours to mend.
THIRD_PARTY = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:__array_wrap__ must accept context and return_scalar:DeprecationWarning",
)


def pytest_configure(config):
    for line in THIRD_PARTY:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny", card={})


@pytest.fixture(scope="session")
def loaded(tiny_folder) -> Parts:
    return load(read_card(tiny_folder), "cpu")


@pytest.fixture
def parts(loaded) -> Parts:
    """The tiny model; a test that leaves other weights behind fails."""
    before = weights(loaded)
    yield loaded
    after = weights(loaded)
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


@pytest.fixture
def request_() -> GenerationRequest:
    return GenerationRequest(
        prompt="a red cat",
        negative_prompt="blurred",
        width=SIDE,
        height=SIDE,
        steps=3,
        cfg_scale=3.0,
        sampler="euler",
        schedule="default",
        seed=7,
    )


def weights(parts: Parts) -> dict[str, torch.Tensor]:
    return {
        f"{place}.{name}": value.clone()
        for place, module in enumerate(parts.modules())
        for name, value in module.state_dict().items()
    }
