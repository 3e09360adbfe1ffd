"""The mix over the steps, the blocks and the pictures of a batch; receipts; files for other models."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from extensions.lora.adapter import Strand, receipt
from extensions.lora.curve import factor
from extensions.lora.loaded import Loader
from extensions.lora.rows import Row
from modules.errors import UserError

from . import made
from .conftest import Bench
from .test_changed import run, step


@pytest.fixture
def ink(bench: Bench, parts: Any) -> Bench:
    """One LoRA in the U-Net's three sides and the text encoder, one LoHa."""
    paths = {made.QUERY: "unet", made.LINEAR: "unet", made.OUT: "unet", made.TEXT: "text_encoder"}
    bench.add("ink", made.kohya(parts, paths))
    bench.add("wash", made.loha(parts, made.LINEAR) | made.kohya(parts, {made.CONV: "unet"}))
    return bench


Answer = Callable[..., Tensor]


def test_outside_of_its_steps_it_is_not_there(ink: Bench, parts: Any, answer: Answer) -> None:
    row = Row(name="ink", te=0, start=0.5)
    full = Row(name="ink", te=0)
    without = answer()
    mix = ink.mix(row)
    with mix.applied(parts):
        seen = []
        for index in range(10):
            mix.before_model(step(index))
            seen.append(answer())
    for index, found in enumerate(seen):
        assert torch.equal(found, without) == (index < 5)
    assert torch.equal(seen[-1], run(ink.mix(full), parts, answer))


def test_a_curve_is_the_weight_of_each_step(ink: Bench, parts: Any, answer: Answer) -> None:
    for name in ("ink", "wash"):
        mix = ink.mix(Row(name=name, te=0, curve=((0, 0), (1, 1))))
        with mix.applied(parts):
            for index in (3, 8):
                mix.before_model(step(index))
                found = answer()
                expected_row = Row(name=name, te=0, weight=index / 10)
                # A second mix inside the first would be another model: the first rests meanwhile.
                mix.before_model(step(0))
                assert torch.equal(found, run(ink.mix(expected_row), parts, answer))


@pytest.mark.parametrize(
    ("share", "start", "end", "curve", "expected"),
    [
        (0.0, 0, 1, (), 1),
        (0.49, 0.5, 1, (), 0),
        (0.5, 0.5, 1, (), 1),
        (0.5, 0, 0.5, (), 0),
        (1.0, 0, 1, (), 1),
        (0.25, 0, 1, ((0, 0), (0.5, 2)), 1),
        (0.9, 0, 1, ((0, 0), (0.5, 2)), 2),
        (0.1, 0, 1, ((0.5, 3), (1, 0)), 3),
    ],
)
def test_a_weight_at_a_share_of_the_steps(
    share: float, start: float, end: float, curve: Any, expected: float
) -> None:
    assert factor(share, start, end, curve) == pytest.approx(expected)


def test_blocks_have_weights_of_their_own(ink: Bench, parts: Any, answer: Answer) -> None:
    off = Row(name="ink", te=0, blocks={"in": 0, "mid": 0, "out": 0})
    assert torch.equal(run(ink.mix(off), parts, answer), answer())
    only_middle = Row(name="ink", te=0, blocks={"in": 0, "out": 0})
    by_single = Row(name="ink", te=0, blocks={"in1": 0, "out0": 0})
    middle = run(ink.mix(only_middle), parts, answer)
    assert not torch.equal(middle, answer())
    assert torch.equal(middle, run(ink.mix(by_single), parts, answer))
    exact_wins = Row(name="ink", te=0, blocks={"in": 0, "in1": 1, "mid": 0, "out": 0})
    assert not torch.equal(run(ink.mix(exact_wins), parts, answer), answer())


def test_the_text_encoder_has_its_own_weight(ink: Bench, parts: Any) -> None:
    ids = torch.arange(77)[None]

    def text(row: Row) -> Tensor:
        mix = ink.mix(row)
        with mix.applied(parts), torch.inference_mode():
            return parts.text_encoder(input_ids=ids).last_hidden_state

    with torch.inference_mode():
        plain = parts.text_encoder(input_ids=ids).last_hidden_state
    assert torch.equal(text(Row(name="ink", te=0)), plain)
    assert not torch.equal(text(Row(name="ink", te=1, weight=0)), plain)
    assert torch.equal(text(Row(name="ink", weight=0.3)), text(Row(name="ink", weight=0, te=0.3)))


def test_the_text_key_tells_encodings_apart(ink: Bench) -> None:
    keys = [
        ink.mix(row).text_key
        for row in (Row(name="ink"), Row(name="ink", weight=2, te=1), Row(name="ink", te=0.5))
    ]
    assert keys[0] == keys[1] != keys[2]
    assert ink.mix(Row(name="wash")).text_key == "" == ink.mix(Row(name="ink", te=0)).text_key


def test_each_picture_of_a_batch_may_have_its_own(ink: Bench, parts: Any, answer: Answer) -> None:
    """Two pictures with guidance: rows 0 and 2 are the first picture's, 1 and 3 the second's."""
    rows = (
        Row(name="ink", te=0, weight=0.8, pictures=(0,)),
        Row(name="wash", te=0, weight=0.6, pictures=(1,)),
        Row(name="wash", te=0, weight=0.1),
    )
    together = run(ink.mix(*rows), parts, answer, pictures=2, rows=4)
    first = run(
        ink.mix(rows[0].model_copy(update={"pictures": ()}), rows[2]), parts, answer, rows=4
    )
    second = run(ink.mix(Row(name="wash", te=0, weight=0.7)), parts, answer, rows=4)
    assert torch.allclose(together[0::2], first[0::2], atol=1e-5)
    assert torch.allclose(together[1::2], second[1::2], atol=1e-5)
    assert not torch.allclose(first, second, atol=1e-3)


def test_loras_add_up_in_any_order(ink: Bench, parts: Any, answer: Answer) -> None:
    one, two = Row(name="ink", te=0, weight=0.5), Row(name="wash", te=0, weight=0.5)
    here = run(ink.mix(one, two), parts, answer)
    there = run(ink.mix(two, one), parts, answer)
    assert torch.allclose(here, there, atol=1e-5)
    assert not torch.allclose(here, run(ink.mix(one), parts, answer), atol=1e-3)


def test_another_weight_reads_nothing_again(
    ink: Bench, monkeypatch: pytest.MonkeyPatch, parts: Any
) -> None:
    first = ink.lora("ink")

    def no_reading(*_: object) -> None:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(Loader, "_read", no_reading)
    assert ink.lora("ink") is first


def test_a_file_that_changed_is_read_again(ink: Bench, parts: Any, answer: Answer) -> None:
    before = run(ink.mix(Row(name="ink")), parts, answer)
    ink.add("ink", made.kohya(parts, {made.LINEAR: "unet"}), changed="yes")
    assert not torch.equal(run(ink.mix(Row(name="ink")), parts, answer), before)


def test_what_is_kept_stays_within_its_budget(ink: Bench, parts: Any) -> None:
    small = Loader(ink.shelf, budget=1)
    for name in ("ink", "wash"):
        last = small.load(ink.shelf.find(Row(name=name)), parts)
        assert small.size_bytes() == last.size_bytes() > 0


def test_the_receipt_measures_each_block(ink: Bench, parts: Any) -> None:
    row = Row(
        name="ink", weight=0.5, te=0.25, blocks={"in": 0.5}, curve=((0, 0), (0.5, 0.8), (1, 0))
    )
    lora = ink.lora("ink")
    found = receipt(Strand(row, lora))
    by_hand = {}
    factors = {"te": 0.25, "in1": 0.5 * 0.8 * 0.5, "mid": 0.5 * 0.8, "out0": 0.5 * 0.8}
    for part, path, block in (
        ("text_encoder", made.TEXT, "te"),
        ("unet", made.QUERY, "in1"),
        ("unet", made.LINEAR, "mid"),
        ("unet", made.OUT, "out0"),
    ):
        change = next(c for c in lora.changes if c.path == path)
        weight = getattr(parts, part).get_submodule(path).weight
        by_hand[block] = float((change.up @ change.down).norm() / weight.norm()) * factors[block]
    assert found["blocks"] == {k: pytest.approx(v, rel=1e-3) for k, v in by_hand.items()}
    assert list(found["blocks"]) == ["te", "in1", "mid", "out0"]
    assert found["applied"] == 1.0
    assert found["hash"] == lora.hash


def test_keys_that_fit_nothing_are_counted(bench: Bench, parts: Any, answer: Answer) -> None:
    good = made.kohya(parts, {made.LINEAR: "unet"})
    bench.add("odd", good | {"lora_unet_nowhere.lora_down.weight": torch.zeros(2, 2), "x": torch.zeros(1),
                             "lora_unet_conv_in.lora_down.weight": torch.zeros(2, 7, 3, 3),
                             "lora_unet_conv_in.lora_up.weight": torch.zeros(9, 2, 1, 1)})  # fmt: skip
    found = receipt(Strand(Row(name="odd"), bench.lora("odd")))
    assert (found["keys"], found["unknown"], found["misfits"]) == (7, 2, 2)
    assert found["applied"] == round(3 / 7, 4)


def test_a_lora_for_another_family_is_refused_by_name(bench: Bench) -> None:
    stem = "lora_unet_output_blocks_0_1_transformer_blocks_3_attn2_to_k"
    bench.add("large", {f"{stem}.lora_down.weight": torch.zeros(4, 2048), f"{stem}.lora_up.weight": torch.zeros(1280, 4)})  # fmt: skip
    with pytest.raises(UserError, match=r"large.*Stable Diffusion XL.*Stable Diffusion 1.x"):
        bench.lora("large")


def test_numbers_that_are_none_are_refused(bench: Bench, parts: Any) -> None:
    tensors = made.kohya(parts, {made.LINEAR: "unet"})
    next(iter(tensors.values()))[0, 0] = float("nan")
    bench.add("broken", tensors)
    with pytest.raises(UserError, match=r"broken.safetensors holds numbers that are none"):
        bench.lora("broken")


def test_peft_metadata_scales_what_has_no_alpha(bench: Bench, parts: Any, answer: Answer) -> None:
    tensors = made.peft(parts, made.LINEAR)
    bench.add("plain", tensors)
    bench.add("noted", tensors, lora_adapter_metadata='{"unet.r": 3, "unet.lora_alpha": 6}')
    doubled = run(bench.mix(Row(name="plain", weight=2)), parts, answer)
    assert torch.allclose(run(bench.mix(Row(name="noted")), parts, answer), doubled, atol=1e-6)


def test_what_the_text_says(ink: Bench) -> None:
    mix = ink.mix(Row(name="ink"), Row(name="wash"), Row(name="ink", weight=0.1))
    ink_hash, wash_hash = ink.lora("ink").hash, ink.lora("wash").hash
    assert mix.infotext() == {"Lora hashes": f"ink: {ink_hash}, wash: {wash_hash}"}
    assert len(ink_hash) == 12


def test_before_it_is_applied_it_says_so(ink: Bench) -> None:
    with pytest.raises(RuntimeError, match="not in the model"):
        ink.mix(Row(name="ink")).before_model(step())


def test_half_precision_models_get_half_precision_changes(ink: Bench, parts: Any) -> None:
    half = replace(parts, unet=copy.deepcopy(parts.unet).to(torch.bfloat16))
    lora = Loader(ink.shelf).load(ink.shelf.find(Row(name="wash")), half)
    tensors = [t for c in lora.changes for t in (c.down, c.up, *c.full.values()) if t is not None]
    assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
