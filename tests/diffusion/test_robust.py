"""Memory that runs out, numbers that run out of bounds, and stopping: in every stage, with the model as before."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.diffusion.adapter import Adapter
from modules.diffusion.inputs import Inputs
from modules.diffusion.pipeline import generate
from modules.errors import Cancelled, UserError
from modules.schema import Hires, Img2Img, Stage
from tests.diffusion.test_img2img import INPUTS, PICTURE
from tests.fixtures.tiny import SIDE


class Fails:
    """A forward hook that fails, or spoils what comes out, at chosen calls."""

    def __init__(self, module, calls, how):
        self.count, self.calls, self.how = 0, calls, how
        self.handle = module.register_forward_hook(self)

    def __call__(self, module, given, answer):
        self.count += 1
        if self.calls is not None and self.count not in self.calls:
            return None
        return self.how(module, answer)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.handle.remove()


def no_memory(module, answer):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def run(parts, request, **options):
    told = []
    images = generate(parts, request, (), told.append, inputs=INPUTS, **options)
    notices = [one.notice.key for one in told if one.notice]
    return [np.asarray(each, int) for each in images], notices


def img2img(request):
    return request.replace(img2img=Img2Img(image=PICTURE).model_dump())


def test_a_decoder_out_of_memory_works_in_tiles(parts, request_):
    request = request_.replace(width=96, height=64)
    (plain,), _ = run(parts, request)
    with Fails(parts.vae.decoder, {1}, no_memory):
        (found,), notices = run(parts, request)
    assert notices == ["notice.memory.tiles"]
    assert np.abs(found - plain).max() <= 1  # small enough to be one tile
    with Fails(parts.vae.decoder, {1, 2}, no_memory):
        (found,), notices = run(parts, request)
    assert notices == ["notice.memory.tiles", "notice.memory.offload"]
    assert (run(parts, request)[0][0] == plain).all()


def test_an_encoder_out_of_memory_works_in_tiles(parts, request_):
    (plain,), _ = run(parts, img2img(request_))
    with Fails(parts.vae.encoder, {1}, no_memory):
        (found,), notices = run(parts, img2img(request_))
    assert notices == ["notice.memory.tiles"]
    assert np.abs(found - plain).max() <= 1


def test_a_denoiser_out_of_memory_makes_pictures_one_by_one(parts, request_):
    request = request_.replace(sampler="euler_a")
    plain, _ = run(parts, request, count=3)
    with Fails(parts.unet, {2}, no_memory) as hook:
        found, notices = run(parts, request, count=3)
    assert notices == ["notice.memory.batch"]
    assert hook.count == 2 + 3 * 3
    for one, other in zip(found, plain, strict=True):
        assert np.abs(one - other).max() <= 1


def test_a_text_encoder_out_of_memory_gets_the_denoisers(parts, request_):
    parts.encoded.clear()
    with Fails(parts.text_encoder, {1}, no_memory):
        _, notices = run(parts, request_)
    assert notices == ["notice.memory.offload"]


@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_when_nothing_helps_it_is_one_sentence_and_the_next_is_well(parts, request_, part):
    parts.encoded.clear()
    (plain,), _ = run(parts, request_)
    parts.encoded.clear()
    with (
        Fails(getattr(parts, part), None, no_memory),
        pytest.raises(UserError, match="memory of cpu does not suffice for 1 picture"),
    ):
        run(parts, request_)
    (after,), notices = run(parts, request_)
    assert (after == plain).all() and notices == []


# ------------------------------------------------------------------------------------------- precision


@pytest.fixture
def half(loaded):
    """The tiny model in bf16, its own object."""
    import copy

    model = replace(loaded, dtype=torch.bfloat16)
    for name in ("unet", "vae", "text_encoder"):
        setattr(model, name, copy.deepcopy(getattr(loaded, name)).to(torch.bfloat16))
    model.preview = None
    if hasattr(model, "encoded"):
        model.encoded = type(loaded.encoded)()
    before = {
        (name, key): value.clone()
        for name in ("unet", "vae", "text_encoder")
        for key, value in getattr(model, name).state_dict().items()
    }
    yield model
    assert model.dtype == torch.bfloat16
    for (name, key), value in before.items():
        now = getattr(model, name).state_dict()[key]
        assert now.dtype == value.dtype and torch.equal(now, value), (name, key)


def spoiled_in_half(module, answer):
    """As an overflow would: only while the module computes in bf16."""
    if next(module.parameters()).dtype == torch.float32:
        return None
    return tree(answer, lambda tensor: torch.full_like(tensor, torch.nan))


def always_spoiled(module, answer):
    return tree(answer, lambda tensor: torch.full_like(tensor, torch.nan))


def tree(answer, change):
    if isinstance(answer, torch.Tensor):
        return change(answer)
    if isinstance(answer, tuple):
        return tuple(change(each) if isinstance(each, torch.Tensor) else each for each in answer)
    for name, value in list(answer.items()):
        if isinstance(value, torch.Tensor):
            answer[name] = change(value)
    return answer


STAGES = [
    ("unet", None, "denoising"),
    ("decoder", None, "decoding"),
    ("encoder", "img2img", "preparing"),
    ("text", None, "encoding"),
]


def module_of(parts, name):
    return {
        "unet": parts.unet,
        "decoder": parts.vae.decoder,
        "encoder": parts.vae.encoder,
        "text": parts.text_encoder,
    }[name]


@pytest.mark.parametrize(("part", "kind", "stage"), STAGES)
def test_numbers_out_of_bounds_are_tried_once_more_in_higher_precision(
    half, request_, part, kind, stage
):
    request = img2img(request_) if kind else request_
    with Fails(module_of(half, part), None, spoiled_in_half):
        images, notices = run(half, request)
    assert notices == [f"notice.nan.{stage}"]
    assert images[0].std() > 0


@pytest.mark.parametrize(("part", "kind", "stage"), STAGES)
def test_what_stays_out_of_bounds_is_named(half, request_, part, kind, stage):
    request = img2img(request_) if kind else request_
    with (
        Fails(module_of(half, part), None, always_spoiled),
        pytest.raises(UserError) as caught,
    ):
        run(half, request)
    assert caught.value.key == f"error.nan.{stage}"


def test_a_spoiled_step_ends_the_run_at_once(parts, request_):
    with Fails(parts.unet, {2}, always_spoiled) as hook, pytest.raises(UserError):
        run(parts, request_.replace(steps=20))
    assert hook.count == 2


# ------------------------------------------------------------------------------------------- stopping


class Looks(Adapter):
    steps = 0

    def before_model(self, step):
        Looks.steps += 1


def test_every_report_of_every_stage_may_stop(parts, request_):
    """Two passes with a picture upscaler in between: every place that reports can be the last one."""
    request = request_.replace(
        steps=2, hires=Hires(scale=1.5, upscaler="Lanczos", steps=2).model_dump()
    )
    told = []
    plain = generate(parts, request, (), told.append, count=2)
    stages = [one.stage for one in told]
    assert stages.count(Stage.DECODING) == 4 and stages.count(Stage.PREPARING) == 2
    for at in range(0, len(told), 3):
        seen = []

        def report(progress, seen=seen, at=at):
            seen.append(progress)
            if len(seen) > at:
                raise Cancelled

        with pytest.raises(Cancelled):
            generate(parts, request, (), report, count=2)
        assert len(seen) == at + 1
    assert [each.tobytes() for each in generate(parts, request, count=2)] == [
        each.tobytes() for each in plain
    ]


def test_tiled_work_looks_between_tiles(parts, request_, monkeypatch):
    from modules.diffusion import stages

    monkeypatch.setattr(stages, "TILE", 8)
    monkeypatch.setattr(stages, "OVERLAP", 2)
    request = request_.replace(width=2 * SIDE, height=SIDE, steps=1)
    told = []

    def report(progress):
        told.append(progress)
        if [one.stage for one in told if one.notice is None].count(Stage.DECODING) == 3:
            raise Cancelled

    with Fails(parts.vae.decoder, {1}, no_memory) as hook, pytest.raises(Cancelled):
        generate(parts, request, (), report, inputs=Inputs())
    assert hook.count == 2  # the one that failed, and one tile


@pytest.mark.parametrize(("stage", "part"), [("decoding", "decoder"), ("preparing", "encoder")])
def test_a_long_call_of_the_autoencoder_stops_between_its_blocks(
    parts, request_, monkeypatch, stage, part
):
    from modules.diffusion import watched

    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.0)
    told = []

    def report(progress):
        told.append(progress)
        if [one.stage for one in told].count(Stage(stage)) == 3:
            raise Cancelled

    finished = Fails(getattr(parts.vae, part), {1}, lambda module, answer: None)
    with finished, pytest.raises(Cancelled):
        generate(parts, img2img(request_), (), report, inputs=INPUTS)
    assert finished.count == 0  # it began and did not come to its end
    assert not any(module._forward_pre_hooks for module in parts.vae.modules())
