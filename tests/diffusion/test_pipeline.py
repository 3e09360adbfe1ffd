"""One generation: seeds, batches, sizes, guidance, progress, stopping, and numbers out of bounds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.pipeline import generate
from modules.errors import Cancelled, UserError
from modules.schema import Stage
from tests.diffusion.test_img2img import INPUTS, PICTURE


def pixels(images):
    return np.stack([np.asarray(image, dtype=np.int16) for image in images])


class Last(Adapter):
    def after_step(self, step):
        self.latents = step.latents


class Rewrites(Adapter):
    """Changes every weight of the denoiser and puts it back."""

    def __init__(self, name="rewrites", order=0, log=None):
        self.name, self.order, self.log = name, order, [] if log is None else log
        self.open = False

    def applied(self, parts):
        from contextlib import contextmanager

        @contextmanager
        def change():
            before = {name: value.clone() for name, value in parts.unet.state_dict().items()}
            self.open = True
            self.log.append(f"+{self.name}")
            with torch.no_grad():
                for value in parts.unet.parameters():
                    value.mul_(1.01)
            try:
                yield
            finally:
                parts.unet.load_state_dict(before)
                self.open = False
                self.log.append(f"-{self.name}")

        return change()


def test_the_same_request_gives_the_same_bytes(parts, request_):
    first, again = generate(parts, request_)[0], generate(parts, request_)[0]
    assert first.tobytes() == again.tobytes()


def test_another_seed_prompt_or_guidance_gives_another_picture(parts, request_):
    base = pixels(generate(parts, request_))
    for change in (
        {"seed": 8},
        {"prompt": "a blue dog"},
        {"prompt": "a (red:1.8) cat"},
        {"negative_prompt": "zzz"},
        {"cfg_scale": 9.0},
        {"clip_skip": 2},
        {"steps": 4},
    ):
        assert np.abs(pixels(generate(parts, request_.replace(**change))) - base).max() > 0, change


def test_noise_does_not_come_from_or_disturb_the_global_generator(parts, request_):
    torch.manual_seed(1)
    first = generate(parts, request_.replace(sampler="euler_a"))[0]
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    again = generate(parts, request_.replace(sampler="euler_a"))[0]
    assert first.tobytes() == again.tobytes()
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    "sampler", ["euler", "euler_a", "dpmpp_2m_sde", "ddpm", "lcm", "dpmpp_sde"]
)
def test_a_picture_of_a_batch_is_the_one_made_alone(parts, request_, sampler):
    request = request_.replace(sampler=sampler)
    batch, alone = Last(), Last()
    generate(parts, request, [batch], count=3)
    for index in range(3):
        generate(parts, request, [alone], first=index)
        assert torch.allclose(batch.latents[index], alone.latents[0], atol=1e-4, rtol=1e-4)
    generate(parts, request.replace(seed=request.seed + 2), [alone])
    assert torch.allclose(batch.latents[2], alone.latents[0], atol=1e-4, rtol=1e-4)


def test_a_sampler_that_chooses_its_steps_chooses_them_for_each_picture(parts, request_):
    request = request_.replace(
        sampler="dpm_adaptive", hires={"scale": 1.5, "steps": 3, "denoising_strength": 0.5}
    )
    told = []
    batch = generate(parts, request, (), told.append, count=2)
    singles = [generate(parts, request, first=index)[0] for index in range(2)]
    assert [one.tobytes() for one in batch] == [one.tobytes() for one in singles]
    steps = [one.step for one in told if one.stage is Stage.DENOISING]
    assert steps == sorted(steps) and steps[-1] == told[0].steps + max(one.steps for one in told)


@pytest.mark.parametrize(
    "change",
    [
        {"sampler_options": {"sigma_min": 90.0}},
        {"sampler_options": {"sigma_max": 0.001}, "img2img": {"image": PICTURE}},
        {"hires": {"steps": 999, "schedule": "ddim", "denoising_strength": 0.1}},
    ],
)
def test_levels_that_cannot_be_laid_out_are_said_before_the_model_is_touched(
    parts, request_, change
):
    parts.encoded.clear()
    told = []
    with pytest.raises(UserError):
        generate(parts, request_.replace(**change), (), told.append, inputs=INPUTS)
    assert told == []


def test_seeds_wrap_around(parts, request_):
    last = request_.replace(seed=2**32 - 1)
    (_, second), (zero,) = generate(parts, last, count=2), generate(parts, request_.replace(seed=0))
    assert np.abs(pixels([second]) - pixels([zero])).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(32, 32), (40, 24), (33, 31), (8, 8), (30, 65)])
def test_any_size_comes_out_as_asked(parts, request_, width, height):
    (image,) = generate(parts, request_.replace(width=width, height=height))
    assert image.size == (width, height)
    assert image.mode == "RGB"


def test_an_odd_size_is_the_middle_of_the_next_larger(parts, request_):
    (odd,) = generate(parts, request_.replace(width=30, height=31))
    (whole,) = generate(parts, request_)
    assert odd.tobytes() == whole.crop((1, 0, 31, 31)).tobytes()


def test_guidance_of_one_or_less_runs_the_prompt_alone(parts, request_):
    class Rows(Adapter):
        def before_model(self, step):
            self.rows = (len(step.model_input), len(step.conditioning))

    rows = Rows()
    generate(parts, request_, [rows], count=2)
    assert rows.rows == (4, 4)
    generate(parts, request_.replace(cfg_scale=1.0), [rows], count=2)
    assert rows.rows == (2, 2)
    one = generate(parts, request_.replace(cfg_scale=1.0))[0]
    assert (
        one.tobytes()
        == generate(parts, request_.replace(cfg_scale=1, negative_prompt="x"))[0].tobytes()
    )
    assert one.tobytes() == generate(parts, request_.replace(cfg_scale=0.0))[0].tobytes()


def test_prompts_of_any_length_go_together(parts, request_):
    long = generate(parts, request_.replace(prompt="a cat, " * 100, negative_prompt=""))[0]
    other = generate(parts, request_.replace(prompt="", negative_prompt="a cat, " * 100))[0]
    assert long.tobytes() != other.tobytes()


@pytest.mark.parametrize("sampler", ["euler", "heun", "plms", "dpm2"])
def test_progress_tells_each_stage_and_step(parts, request_, sampler):
    seen = []
    generate(parts, request_.replace(sampler=sampler, steps=4), (), seen.append)
    assert [one.stage for one in seen if one.stage is not Stage.DENOISING] == [
        Stage.ENCODING,
        Stage.DECODING,
    ]
    steps = [one.step for one in seen if one.stage is Stage.DENOISING]
    assert steps == sorted(steps)
    assert set(steps) == {0, 1, 2, 3, 4}
    assert {one.steps for one in seen if one.stage is Stage.DENOISING} == {4}
    assert all(one.preview is None for one in seen)


@pytest.mark.parametrize(("every", "shown"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), (5, [5]), (9, [])])
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_previews_come_every_so_many_steps(parts, request_, sampler, every, shown):
    seen = []
    bare = replace(parts, preview=None)  # a small decoder would come as often as its time allows
    generate(bare, request_.replace(sampler=sampler, steps=5), (), seen.append, preview=every)
    assert [one.step for one in seen if one.preview] == shown
    assert {one.preview.size for one in seen if one.preview} <= {(32, 32)}


def test_previews_do_not_change_the_picture(parts, request_):
    plain = generate(parts, request_)[0]
    assert plain.tobytes() == generate(parts, request_, preview=1)[0].tobytes()


@pytest.mark.parametrize("at", range(7))
def test_stopping_takes_effect_at_once_and_everything_is_put_back(parts, request_, at):
    seen, adapter = [], Rewrites()

    def report(progress):
        seen.append(progress)
        if len(seen) == at + 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        generate(parts, request_.replace(steps=4), [adapter], report, preview=1)
    assert len(seen) == at + 1
    assert adapter.log == ["+rewrites", "-rewrites"]
    # That the weights are the same, bit by bit, the fixture `parts` checks.


def test_after_stopping_the_next_picture_is_as_ever(parts, request_):
    plain = generate(parts, request_)[0]

    def stop(progress):
        if progress.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        generate(parts, request_, [Rewrites()], stop)
    assert generate(parts, request_)[0].tobytes() == plain.tobytes()


def test_adapters_run_in_order_and_leave_in_reverse(parts, request_):
    log = []
    generate(
        parts, request_, [Rewrites("b", 5, log), Rewrites("a", -1, log), Rewrites("c", 5, log)]
    )
    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_an_adapter_is_applied_while_the_prompt_is_encoded(parts, request_):
    adapter, seen = Rewrites(), {}
    generate(
        parts, request_, [adapter], lambda progress: seen.update({progress.stage: adapter.open})
    )
    assert set(seen.values()) == {True}
    assert not adapter.open


@pytest.mark.parametrize("method", ["before_model", "after_guidance", "after_step", "applied"])
def test_what_an_adapter_raises_comes_out_and_all_is_put_back(parts, request_, method):
    class Breaks(Adapter):
        order = 1

    def breaks(self, argument):
        raise RuntimeError(method)

    setattr(Breaks, method, breaks)
    other = Rewrites()
    with pytest.raises(RuntimeError, match=method):
        generate(parts, request_, [Breaks(), other])
    assert other.log == ["+rewrites", "-rewrites"]


def test_an_undo_that_fails_does_not_keep_the_others_from_theirs(parts, request_):
    class Sticks(Adapter):
        order = 1

        def applied(self, parts):
            from contextlib import contextmanager

            @contextmanager
            def change():
                yield
                raise RuntimeError("stuck")

            return change()

    other = Rewrites()
    with pytest.raises(RuntimeError, match="stuck"):
        generate(parts, request_, [other, Sticks()])
    assert other.log == ["+rewrites", "-rewrites"]


def test_numbers_out_of_bounds_name_the_denoiser(parts, request_):
    class Spoils(Adapter):
        def after_step(self, step):
            step.latents = step.latents * float("nan")

    with pytest.raises(UserError) as caught:
        generate(parts, request_, [Spoils()])
    assert caught.value.key == "error.nan.denoising"
    assert "denoiser" in str(caught.value)


def test_numbers_out_of_bounds_name_the_decoder(parts, request_, monkeypatch):
    monkeypatch.setattr(
        parts.vae,
        "decode",
        lambda latents: type("Out", (), {"sample": torch.full((1, 3, 32, 32), torch.inf)}),
    )
    with pytest.raises(UserError) as caught:
        generate(parts, request_)
    assert caught.value.key == "error.nan.decoding"


def test_too_little_memory_is_a_sentence(parts, request_):
    class Hungry(Adapter):
        def before_model(self, step):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="memory of cpu does not suffice for 1 picture"):
        generate(parts, request_, [Hungry()])


@pytest.mark.parametrize("field", ["width", "height", "steps", "cfg_scale", "sampler"])
def test_an_unresolved_request_is_a_fault_of_ours(parts, request_, field):
    with pytest.raises(ValueError, match="not resolved"):
        generate(parts, request_.replace(**{field: None}))
    with pytest.raises(ValueError, match="seed"):
        generate(parts, request_.replace(seed=-1))
