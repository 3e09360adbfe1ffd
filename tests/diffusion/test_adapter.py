"""What an adapter may do to one step."""

import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.pipeline import generate


class Look(Adapter):
    def __init__(self):
        self.steps = []

    def after_step(self, step):
        self.steps.append(step)


class Residuals(Adapter):
    """Adds what ControlNet would: one residual per block."""

    def __init__(self, amount, count=4):
        self.amount, self.count = amount, count

    def before_model(self, step):
        rows, side = len(step.model_input), step.model_input.shape[-1]
        shapes = [(32, side), (32, side), (32, side // 2), (64, side // 2)][: self.count]
        down = [torch.full((rows, width, size, size), self.amount) for width, size in shapes]
        step.add_residuals(down, torch.full((rows, 64, side // 2, side // 2), self.amount))


def last(parts, request, adapters):
    look = Look()
    generate(parts, request, [*adapters, look])
    return look.steps[-1].latents


def test_residuals_of_two_adapters_are_summed(parts, request_):
    one = last(parts, request_, [Residuals(0.3)])
    two = last(parts, request_, [Residuals(0.1), Residuals(0.2)])
    assert torch.allclose(one, two, atol=1e-5)
    assert not torch.allclose(one, last(parts, request_, []), atol=1e-2)


def test_residuals_do_not_change_the_tensors_of_the_first_adapter(parts, request_):
    given = torch.ones(1)

    class Gives(Adapter):
        def before_model(self, step):
            step.add_residuals([given], given)
            step.add_residuals([given], given)
            assert step.model_kwargs["mid_block_additional_residual"] == 2
            assert step.model_kwargs["down_block_additional_residuals"] == (2,)
            step.model_kwargs.clear()

    generate(parts, request_, [Gives()])
    assert given == 1


def test_another_number_of_residuals_is_an_error(parts, request_):
    with pytest.raises(ValueError, match="zip"):
        generate(parts, request_, [Residuals(0.1), Residuals(0.1, count=3)])


def test_a_step_knows_where_it_is(parts, request_):
    look = Look()
    generate(parts, request_, [look], count=2)
    assert [(step.index, step.total) for step in look.steps] == [(0, 3), (1, 3), (2, 3)]
    sigmas = [step.sigma for step in look.steps]
    assert sigmas == sorted(sigmas, reverse=True)
    assert 2 < sigmas[0] < 20
    first = look.steps[0]
    assert first.latents.shape == first.denoised.shape == (2, 4, 8, 8)
    assert first.model_input.shape == (4, 4, 8, 8)
    assert first.conditioning.shape == (4, 77, 32)
    assert first.request is request_
    assert first.parts is parts


def test_what_after_guidance_gives_is_what_the_sampler_takes(parts, request_):
    class Silence(Adapter):
        def after_guidance(self, step):
            step.denoised = torch.full_like(step.denoised, 0.25)

    assert (last(parts, request_, [Silence()]) == 0.25).all()


def test_what_after_step_gives_goes_on(parts, request_):
    class Pins(Adapter):
        def after_step(self, step):
            step.latents = torch.full_like(step.latents, 0.5)

    assert (last(parts, request_, [Pins()]) == 0.5).all()


def test_before_model_may_change_what_the_model_reads(parts, request_):
    class Swaps(Adapter):
        def before_model(self, step):
            step.conditioning = step.conditioning.flip(0)

    assert not torch.allclose(
        last(parts, request_, [Swaps()]), last(parts, request_, []), atol=1e-3
    )


def test_an_adapter_without_methods_changes_nothing(parts, request_):
    assert torch.equal(last(parts, request_, [Adapter()]), last(parts, request_, []))
