"""FreeU changes the picture while it runs, and nothing once it has run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.errors import ExtensionError, UserError
from modules.library.load import load
from modules.library.scan import read_card
from modules.plugins.manager import Plugins
from modules.schema import GenerationRequest
from tests.fixtures.tiny import make_tiny

EXTENSIONS = Path(__file__).parents[2]
ON = {"enabled": True}


@pytest.fixture(scope="module")
def plugins() -> Iterator[Plugins]:
    loaded = Plugins.load(EXTENSIONS)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("freeu") / "tiny"
    make_tiny(folder)
    return load(read_card(folder), device="cpu", precision="fp32")


def answer(parts: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    width = parts.unet.config.cross_attention_dim
    text = torch.randn(1, 7, width, generator=generator)
    with torch.inference_mode():
        (found,) = parts.unet(latents, 500, encoder_hidden_states=text, return_dict=False)
    return found


def adapter(plugins: Plugins, parts: Any, **options: Any) -> Any:
    request = plugins.check(GenerationRequest(extras={"freeu": {**ON, **options}}))
    (found,) = plugins.adapters_for(request, parts)
    return found


def state(parts: Any) -> list[set[str]]:
    return [set(vars(block)) for block in parts.unet.up_blocks]


def test_it_changes_what_the_unet_answers(plugins: Plugins, parts: Any) -> None:
    before = answer(parts)
    with adapter(plugins, parts).applied(parts):
        assert not torch.allclose(answer(parts), before, atol=1e-4)


def test_the_undo_is_exact(plugins: Plugins, parts: Any) -> None:
    before, attributes = answer(parts), state(parts)
    with adapter(plugins, parts).applied(parts):
        assert state(parts) != attributes
    assert torch.equal(answer(parts), before)
    assert state(parts) == attributes


def test_the_undo_is_exact_also_when_the_generation_raises(plugins: Plugins, parts: Any) -> None:
    before, attributes = answer(parts), state(parts)
    with pytest.raises(MemoryError), adapter(plugins, parts).applied(parts):
        raise MemoryError
    assert torch.equal(answer(parts), before)
    assert state(parts) == attributes


def test_scales_of_one_leave_the_answer_as_it_is(plugins: Plugins, parts: Any) -> None:
    before = answer(parts)
    with adapter(plugins, parts, b1=1, b2=1, s1=1, s2=1).applied(parts):
        assert torch.allclose(answer(parts), before, atol=1e-4)


def test_a_request_without_it_has_no_adapter(plugins: Plugins, parts: Any) -> None:
    assert plugins.adapters_for(GenerationRequest(), parts) == []


def test_a_model_without_a_unet_is_refused_by_name(plugins: Plugins, parts: Any) -> None:
    transformer = replace(parts, unet=torch.nn.Linear(1, 1))
    with (
        pytest.raises(ExtensionError, match=r"extension freeu cannot do this: FreeU needs a model"),
        adapter(plugins, parts).applied(transformer),
    ):
        raise AssertionError("it was entered")


def test_a_family_without_a_u_net_is_refused_before(plugins: Plugins) -> None:
    request = plugins.check(GenerationRequest(model="flow", extras={"freeu": ON}))
    plugins.check_request(request, "sdxl")
    with pytest.raises(UserError, match=r"flow \(flux1\).*freeu"):
        plugins.check_request(request, "flux1")
