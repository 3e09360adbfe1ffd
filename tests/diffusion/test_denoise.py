"""The loop: which rows the denoiser reads, what further channels it gets, when guidance is on, who takes over."""

from dataclasses import replace

import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.conditioning import Conditioning, Encoded, Weighted
from modules.diffusion.denoise import Handover, denoise
from modules.diffusion.latents import sources
from modules.diffusion.samplers import pick
from modules.diffusion.timeline import timeline
from modules.schema import Guidance, Img2Img


class Look(Adapter):
    """Keeps what each call of the denoiser reads."""

    def __init__(self):
        self.calls, self.steps = [], []

    def before_model(self, step):
        kinds = [row.kind for row in step.rows]
        self.calls.append((step.step, kinds, step.model_input.clone(), step.conditioning.clone()))

    def after_step(self, step):
        self.steps.append(step)


class Channels(torch.nn.Module):
    """Stands for a denoiser with further input channels: answers with a mix of all that it is given."""

    def forward(self, x, timestep, encoder_hidden_states, return_dict):
        level = encoder_hidden_states.mean((1, 2)).view(-1, 1, 1, 1)
        return (x[:, :4] * 0.1 + x[:, 4:].sum(1, keepdim=True) * 0.01 + level,)


def text(seed, tokens=77):
    return Encoded(torch.randn(1, tokens, 32, generator=torch.Generator().manual_seed(seed)))


def run(parts, request, conditioning, count=2, **options):
    look = Look()
    track = timeline(parts, *pick(request.sampler, request.schedule), 4, request.sampler_options)
    noise = sources(request, 0, count)
    start = noise.start((4, 8, 8)) * track.noise_scale
    with torch.inference_mode():
        found = denoise(
            parts, request, conditioning, start, track, noise, [look], lambda step: None, **options
        )
    return found, look


def test_texts_of_equal_length_go_together_and_others_apart(parts, request_):
    positive = (Weighted(text(1)), Weighted(text(2, 154), 0.5))
    told = Conditioning((positive,), (text(3),))
    found, look = run(parts, request_, told)
    assert [kinds for step, kinds, *_ in look.calls if step == 0] == [
        ["negative", "positive"],
        ["positive"],
    ]
    assert [len(seen) for _, _, seen, _ in look.calls[:2]] == [4, 2]
    assert [tuple(read.shape) for *_, read in look.calls[:2]] == [(4, 77, 32), (2, 154, 32)]
    assert torch.isfinite(found).all()


def test_a_weight_of_nothing_is_as_if_the_sub_prompt_were_not_there(parts, request_):
    alone = Conditioning(((Weighted(text(1)),),), (text(3),))
    both = Conditioning(((Weighted(text(1)), Weighted(text(2), 0.0)),), (text(3),))
    one, _ = run(parts, request_, alone)
    two, _ = run(parts, request_, both)
    assert torch.allclose(one, two, atol=1e-4)
    pulled = Conditioning(((Weighted(text(1)), Weighted(text(2), 0.7)),), (text(3),))
    assert not torch.allclose(one, run(parts, request_, pulled)[0], atol=1e-2)


def test_each_step_reads_its_own_text(parts, request_):
    told = Conditioning(((Weighted(text(1)),), (Weighted(text(2)),)), (text(3),))
    _, look = run(parts, request_, told, count=1, first_step=0)
    read = [conditioning[1] for *_, conditioning in look.calls]
    assert torch.equal(read[0], text(1).tokens[0])
    assert all(torch.equal(each, text(2).tokens[0]) for each in read[1:])
    _, later = run(parts, request_, told, count=1, first_step=1)
    assert torch.equal(later.calls[0][3][1], text(2).tokens[0])


def test_guidance_is_off_outside_of_its_interval(parts, request_):
    told = Conditioning.constant(text(1), text(3))
    request = request_.replace(guidance=Guidance(start=0.25, end=0.75))
    _, look = run(parts, request, told)
    assert [len(kinds) for _, kinds, *_ in look.calls] == [1, 2, 2, 1]


def test_further_channels_come_beside_the_latents(parts, request_):
    special = replace(parts, unet=Channels())
    extra = torch.full((2, 5, 8, 8), 0.5)
    told = Conditioning.constant(text(1), text(3))
    _, look = run(special, request_, told, extra_channels=extra)
    _, _, seen, _ = look.calls[0]
    assert seen.shape == (4, 9, 8, 8)
    assert (seen[:, 4:] == 0.5).all()


def test_a_model_that_edits_is_asked_three_times(parts, request_):
    special = replace(parts, unet=Channels(), variant="edit")
    extra = torch.full((2, 4, 8, 8), 0.5)
    told = Conditioning.constant(text(1), text(3))

    def found(scale):
        group = Img2Img(image="0" * 64, image_cfg_scale=scale)
        return run(special, request_.replace(img2img=group), told, extra_channels=extra)

    _, look = found(1.5)
    _, kinds, seen, read = look.calls[0]
    assert kinds == ["blind", "negative", "positive"]
    assert (seen[:2, 4:] == 0).all()
    assert (seen[2:, 4:] == 0.5).all()
    assert torch.equal(read[0], read[2])
    assert not torch.allclose(found(1.5)[0], found(3.0)[0])


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
def test_another_model_takes_over_and_the_sampler_goes_on(parts, request_, sampler):
    told, other = Conditioning.constant(text(1)), Conditioning.constant(text(2))
    request = request_.replace(sampler=sampler)
    taken = []

    def take():
        taken.append(True)
        return parts, other

    _, look = run(parts, request, told, count=1, handover=Handover(2, take))
    for step, _, _, read in look.calls:
        assert torch.equal(read[0], text(2 if step >= 2 else 1).tokens[0])
    assert taken == [True]
    same, _ = run(parts, request, told, count=1, handover=Handover(2, lambda: (parts, told)))
    assert torch.equal(same, run(parts, request, told, count=1)[0])


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm2", "unipc", "dpmpp_sde"])
def test_after_step_comes_once_per_step(parts, request_, sampler):
    told = Conditioning.constant(text(1))
    _, look = run(parts, request_.replace(sampler=sampler), told)
    assert [step.step for step in look.steps] == [0, 1, 2, 3]
