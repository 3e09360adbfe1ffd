"""PAG changes the picture while it runs and nothing once it has run; the sampler goes where the equation says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.diffusion.pipeline import generate
from modules.diffusion.samplers import pick
from modules.diffusion.seal import seal
from modules.errors import Cancelled, ExtensionError, UserError
from modules.library.load import load
from modules.library.scan import read_card
from modules.plugins.manager import Plugins
from modules.plugins.solvers import Ask, SamplerOptions
from modules.schema import GenerationRequest
from tests.fixtures.tiny import SIDE, make_tiny

EXTENSIONS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plugins() -> Iterator[Plugins]:
    loaded = Plugins.load(EXTENSIONS, process="worker")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pag") / "tiny"
    make_tiny(folder)
    return load(read_card(folder), device="cpu", precision="fp32")


def make(plugins: Plugins, parts: Any, report: Any = lambda progress: None, **fields: Any) -> bytes:
    given = {
        "prompt": "a red cat", "width": SIDE, "height": SIDE, "steps": 3, "cfg_scale": 2.0,
        "sampler": "euler", "schedule": "default", "seed": 5, **fields,
    }  # fmt: skip
    request = plugins.check(GenerationRequest(**given))
    (image,) = generate(parts, request, plugins.adapters_for(request, parts), report)
    return image.tobytes()


def on(**options: Any) -> dict[str, Any]:
    return {"pag": {"enabled": True, **options}}


@pytest.mark.parametrize("layers", ["mid", "deep_down", "deep_up"])
def test_it_changes_the_picture_and_only_this_one(
    plugins: Plugins, parts: Any, layers: str
) -> None:
    plain, before = make(plugins, parts), seal(parts)
    changed = make(plugins, parts, extras=on(layers=layers))
    assert changed != plain
    assert before.difference(seal(parts)) is None
    assert make(plugins, parts) == plain
    assert make(plugins, parts, extras=on(layers=layers)) == changed


def test_scale_zero_is_the_plain_picture(plugins: Plugins, parts: Any) -> None:
    assert make(plugins, parts, extras=on(scale=0)) == make(plugins, parts)


def test_outside_its_steps_it_does_nothing(plugins: Plugins, parts: Any) -> None:
    plain = make(plugins, parts)
    assert make(plugins, parts, extras=on(start=0.99)) == plain
    assert make(plugins, parts, extras=on(end=0.5)) != plain


def test_without_a_negative_prompt_and_with_two_sub_prompts(plugins: Plugins, parts: Any) -> None:
    for fields in ({"cfg_scale": 1.0}, {"prompt": "a cat AND a very long dog:0.5"}):
        assert make(plugins, parts, extras=on(), **fields) != make(plugins, parts, **fields)


def test_a_cancelled_job_leaves_no_hook(plugins: Plugins, parts: Any) -> None:
    before = seal(parts)

    def stop(progress: Any) -> None:
        if progress.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        make(plugins, parts, stop, extras=on())
    assert before.difference(seal(parts)) is None


def test_it_moves_along_the_difference(plugins: Plugins, parts: Any) -> None:
    """denoised - plain is s times something that does not depend on s."""
    moved = []
    for scale in (1.0, 2.0):
        seen: list[torch.Tensor] = []
        request = plugins.check(
            GenerationRequest(
                prompt="a", width=SIDE, height=SIDE, steps=1, cfg_scale=1.0, sampler="euler",
                schedule="default", seed=5, extras=on(scale=scale),
            )
        )  # fmt: skip
        (adapter,) = plugins.adapters_for(request, parts)
        act = adapter._inner.after_guidance  # type: ignore[attr-defined]

        def listening(step: Any, act: Any = act, seen: Any = seen) -> None:
            before = step.denoised
            act(step)
            seen.append(step.denoised - before)

        adapter._inner.after_guidance = listening  # type: ignore[attr-defined]
        generate(parts, request, [adapter])
        moved.append(seen[0])
    assert moved[0].abs().max() > 0
    torch.testing.assert_close(moved[1], moved[0] * 2, rtol=1e-4, atol=1e-5)


def test_a_model_without_such_layers_is_refused_by_name(plugins: Plugins, parts: Any) -> None:
    from dataclasses import replace

    other = replace(parts, unet=torch.nn.Linear(1, 1))
    request = plugins.check(GenerationRequest(extras=on()))
    (adapter,) = plugins.adapters_for(request, other)
    with (
        pytest.raises(ExtensionError, match="extension pag cannot do this: This model has no"),
        adapter.applied(other),
    ):
        raise AssertionError("it was entered")


def run(plugins: Plugins, sigmas: list[float], denoise: Any, x: float) -> float:
    row, _ = pick("Gradient estimation", None, plugins.samplers())
    solver = row.solver(x, sigmas, SamplerOptions(), lambda *_: 0.0)
    event = next(solver)
    try:
        while True:
            if isinstance(event, Ask):
                event = solver.send(denoise(event.x, event.sigma))
            else:
                x = event.x
                event = solver.send(event.x)
    except StopIteration:
        return x


def test_the_sampler_arrives_at_a_picture_that_is_known(plugins: Plugins) -> None:
    assert run(plugins, [4.0, 2.0, 1.0, 0.0], lambda x, sigma: 3.0, 7.0) == pytest.approx(3.0)


def test_the_sampler_follows_the_equation(plugins: Plugins) -> None:
    def denoise(x: float, sigma: float) -> float:
        return x / (1 + sigma**2)  # of a picture that is a standard normal number

    first = (7 - denoise(7, 4)) / 4
    x = 7 + first * (2 - 4)
    second = (x - denoise(x, 2)) / 2
    x += (2 * second - first) * (0 - 2)
    assert run(plugins, [4.0, 2.0, 0.0], denoise, 7.0) == pytest.approx(x)


def test_the_sampler_makes_a_picture(plugins: Plugins, parts: Any) -> None:
    from modules.diffusion.inputs import Inputs

    request = GenerationRequest(
        prompt="a", width=SIDE, height=SIDE, steps=3, cfg_scale=2.0, seed=5,
        sampler="Gradient estimation", schedule="karras",
    )  # fmt: skip
    (image,) = generate(parts, request, inputs=Inputs(samplers=plugins.samplers()))
    assert image.size == (SIDE, SIDE)


def test_a_family_that_cannot_be_perturbed_is_refused_before(plugins: Plugins) -> None:
    request = plugins.check(GenerationRequest(model="flow", extras={"pag": {"enabled": True}}))
    plugins.check_request(request, "sd1")
    with pytest.raises(UserError, match=r"flow \(flux1\).*pag"):
        plugins.check_request(request, "flux1")
    still = plugins.check(request.replace(extras={"pag": {"enabled": True, "scale": 0}}))
    plugins.check_request(still, "flux1")
