"""An adapter that fails, hands back the wrong thing or leaves the model changed is named, and nothing stays behind."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from modules.diffusion.parts import Parts
from modules.diffusion.seal import seal
from modules.errors import Cancelled, ExtensionError, ModelLeftChangedError, UserError
from modules.library.cache import ModelCache
from modules.plugins import problem
from modules.plugins.adapters import Adapter, Step
from modules.plugins.named import NamedAdapter
from modules.schema import GenerationRequest, ModelCard


def parts() -> Parts:
    torch.manual_seed(0)
    unet = nn.Sequential(nn.Conv2d(4, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 3))
    unet.to(memory_format=torch.channels_last)
    return Parts(
        family="sd1",
        tokenizer=object(),
        text_encoder=nn.Linear(4, 4),
        unet=unet,
        vae=nn.Linear(4, 4),
        preview=None,
        scheduler_config={"beta_start": 0.1},
        device=torch.device("cpu"),
        dtype=torch.float32,
        card_name="tiny",
    )


def step(of: Parts) -> Step:
    made = object.__new__(Step)
    made.latents = torch.zeros(1, 4, 8, 8)
    made.model_input = torch.zeros(2, 4, 8, 8)
    made.conditioning = torch.zeros(2, 77, 32)
    made.model_kwargs = {}
    made.request = GenerationRequest()
    made.parts = of
    return made


class Part(Adapter):
    """An adapter that does what it is told."""

    def __init__(self, act: Callable[[Any], Any] = lambda step: None) -> None:
        self.act = act

    def before_model(self, step: Step) -> None:
        return self.act(step)  # type: ignore[no-any-return]

    after_guidance = after_step = before_model


def named(inner: Any) -> NamedAdapter:
    return NamedAdapter("echo", inner, lambda extension, hook: nullcontext())


METHODS = ["before_model", "after_guidance", "after_step"]


def throw(error: Exception) -> Callable[[Any], Any]:
    def act(_: Any) -> None:
        raise error

    return act


@pytest.mark.parametrize("method", METHODS)
def test_an_error_names_the_extension(method: str) -> None:
    adapter = named(Part(throw(ValueError("bad"))))
    with pytest.raises(ExtensionError, match="extension echo failed: ValueError: bad"):
        getattr(adapter, method)(step(parts()))


def test_an_extensions_own_words_come_in_both_languages() -> None:
    adapter = named(Part(throw(problem("No such style.", "没有此风格。"))))
    with pytest.raises(ExtensionError) as caught:
        adapter.before_model(step(parts()))
    over = UserError.from_dict(caught.value.to_dict())  # as it crosses to the page
    assert "No such style." in over.message("en") and "没有" not in over.message("en")
    assert "没有此风格。" in over.message("zh") and "No such" not in over.message("zh")


def test_cancelling_is_nobodys_error() -> None:
    with pytest.raises(Cancelled):
        named(Part(throw(Cancelled()))).before_model(step(parts()))


def bigger(given: Step) -> None:
    given.latents = torch.zeros(1, 4, 16, 16)


def half(given: Step) -> None:
    given.model_input = given.model_input.half()


def nothing(given: Step) -> None:
    given.latents = None  # type: ignore[assignment]


def fewer_rows(given: Step) -> None:
    given.conditioning = given.conditioning[:1]


def more_tokens(given: Step) -> None:
    given.conditioning = torch.zeros(2, 154, 32)


@pytest.mark.parametrize("act", [bigger, half, nothing, fewer_rows])
def test_another_shape_or_type_is_named(act: Callable[[Any], Any]) -> None:
    with pytest.raises(ExtensionError, match=r"echo broke the contract of after_step: \w+ has to"):
        named(Part(act)).after_step(step(parts()))


def test_more_tokens_are_allowed() -> None:
    named(Part(more_tokens)).before_model(step(parts()))


def test_an_answer_where_none_is_expected() -> None:
    with pytest.raises(ExtensionError, match="has to give None, not str"):
        named(Part(lambda given: "done")).after_step(step(parts()))


def test_what_is_no_adapter_is_refused() -> None:
    with pytest.raises(ExtensionError, match="has to give Adapter, not dict"):
        named({})


def weight(of: Parts) -> None:
    with torch.no_grad():
        of.unet[0].weight.mul_(1.01)


def weight_behind_the_back(of: Parts) -> None:
    of.unet[0].weight.data.mul_(1.01)


def another_module(of: Parts) -> None:
    of.unet[0] = nn.Conv2d(4, 8, 3)


def another_forward(of: Parts) -> None:
    of.unet[2].forward = lambda value: value


def a_hook(of: Parts) -> None:
    of.unet[1].register_forward_hook(lambda *_: None)


def an_attribute(of: Parts) -> None:
    of.unet[1].scale = 1.5


def another_part(of: Parts) -> None:
    of.vae = nn.Linear(4, 4)


def the_configuration(of: Parts) -> None:
    of.scheduler_config["beta_start"] = 0.2


def training(of: Parts) -> None:
    of.text_encoder.train(False)


CHANGES = [
    weight,
    weight_behind_the_back,
    another_module,
    another_forward,
    a_hook,
    an_attribute,
    another_part,
    the_configuration,
    training,
]


class Careless(Adapter):
    def __init__(self, change: Callable[[Parts], None]) -> None:
        self.change = change

    @contextmanager
    def applied(self, parts: Parts) -> Iterator[None]:
        self.change(parts)
        yield


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("fails", [False, True])
def test_a_change_without_its_undo_is_named(change: Callable[[Parts], None], fails: bool) -> None:
    with (
        pytest.raises(ModelLeftChangedError, match="echo broke the contract of applied: it left"),
        named(Careless(change)).applied(parts()),
    ):
        if fails:
            raise MemoryError


def test_a_change_in_a_step_is_found_at_the_end() -> None:
    of = parts()
    adapter = named(Part(lambda given: weight(given.parts)))
    with pytest.raises(ModelLeftChangedError), adapter.applied(of):
        adapter.before_model(step(of))


def test_the_innermost_of_several_is_named() -> None:
    of = parts()
    good = NamedAdapter("good", Part(), lambda *_: nullcontext())
    with (
        pytest.raises(ModelLeftChangedError, match="extension echo"),
        good.applied(of),
        named(Careless(weight)).applied(of),
    ):
        pass


def test_a_change_with_its_undo_is_fine() -> None:
    class Careful(Adapter):
        @contextmanager
        def applied(self, parts: Parts) -> Iterator[None]:
            kept = parts.unet[0].weight.clone()
            weight(parts)
            try:
                yield
            finally:
                with torch.no_grad():
                    parts.unet[0].weight.copy_(kept)

    with named(Careful()).applied(parts()):
        pass
    with pytest.raises(MemoryError), named(Careful()).applied(parts()):
        raise MemoryError  # stays the generation's


def test_a_model_that_ran_is_as_it_was() -> None:
    of = parts()
    before = seal(of)
    of.unet(torch.zeros(1, 4, 8, 8))
    of.latent_rgb = torch.zeros(5, 3)  # filled in by the first preview
    assert before.difference(seal(of)) is None


def test_entering_that_fails_is_the_extensions_error() -> None:
    class Fails(Adapter):
        def applied(self, parts: Parts) -> AbstractContextManager[None]:
            raise KeyError("down_blocks")

    with (
        pytest.raises(ExtensionError, match="echo failed: KeyError"),
        named(Fails()).applied(parts()),
    ):
        raise AssertionError("it was entered")


def test_the_model_is_loaded_again(tmp_path: Path) -> None:
    cache = ModelCache(10**9, lambda card: parts())
    card = ModelCard(name="tiny", title="", family="sd1", path=tmp_path, size_bytes=1)
    with (
        pytest.raises(ModelLeftChangedError),
        cache.acquire(card) as first,
        named(Careless(weight)).applied(first),
    ):
        pass
    with cache.acquire(card) as second:
        assert second is not first
        assert torch.equal(second.unet[0].weight, parts().unet[0].weight)


class Telling(Adapter):
    def __init__(self, text: Any = None, receipt: Any = None) -> None:
        self.text, self.paper = text, receipt

    def infotext(self) -> Any:
        return self.text

    def receipt(self) -> Any:
        return self.paper


def test_what_it_says_of_a_picture_is_passed_on() -> None:
    one = named(Telling({"Lora hashes": "ink: 12"}, [{"applied": 0.5}]))
    assert one.infotext() == {"Lora hashes": "ink: 12"}
    assert one.receipt() == [{"applied": 0.5}]
    assert named(Adapter()).infotext() == {} and named(Adapter()).receipt() is None


@pytest.mark.parametrize(
    "text", [None, ["a"], {"Hash": 3}, {3: "x"}, {"Seed": "1"}, {"a: b": "x"}, {"a\nb": "x"}]
)
def test_parameters_that_no_text_takes_are_refused_by_name(text: Any) -> None:
    with pytest.raises(ExtensionError, match="echo"):
        named(Telling(text)).infotext()


@pytest.mark.parametrize("paper", [object(), {"x": float("nan")}, {"x": {1, 2}}, "x" * 70_000])
def test_a_receipt_that_is_no_plain_json_is_refused_by_name(paper: Any) -> None:
    with pytest.raises(ExtensionError, match="echo"):
        named(Telling({}, paper)).receipt()


@pytest.mark.parametrize("found", [None, ["words"], [ValueError("no")], 3])
def test_warnings_that_are_none_are_refused_by_name(found: Any) -> None:
    class Warning(Adapter):
        def warnings(self) -> Any:
            return found

    with pytest.raises(ExtensionError, match="echo"):
        named(Warning()).warnings()


def test_warnings_are_passed_on_up_to_a_number() -> None:
    class Warning(Adapter):
        def warnings(self) -> Any:
            return [problem(f"{n}", f"{n}") for n in range(50)]

    assert [str(each) for each in named(Warning()).warnings()] == [str(n) for n in range(10)]
    assert named(Adapter()).warnings() == []
