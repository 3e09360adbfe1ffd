"""A merged LoRA or checkpoint answers as the mix did, and says what went in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from extensions.lora.adapter import Strand
from extensions.lora.aliases import layers_per_block, original_names
from extensions.lora.merge import RECIPE, save_checkpoint, save_lora
from extensions.lora.rows import Row
from modules.errors import UserError
from modules.library.load import load
from modules.library.scan import read_card
from tests.fixtures.tiny import make_tiny

from . import made
from .conftest import Bench
from .test_changed import run

ROWS = (
    Row(name="ink", weight=0.7, te=0.3, blocks={"mid": 0.5}),
    Row(name="wash", weight=-0.4),
    Row(name="dora", weight=0.6),
)


@pytest.fixture
def strands(bench: Bench, parts: Any) -> list[Strand]:
    paths = {made.QUERY: "unet", made.LINEAR: "unet", made.CONV: "unet", made.TEXT: "text_encoder"}
    bench.add("ink", made.kohya(parts, paths))
    bench.add("wash", made.kohya(parts, {made.LINEAR: "unet"}) | made.full(parts, made.CONV))
    bench.add("dora", made.peft(parts, made.OUT, dora=True) | made.norm(parts, made.NORM))
    return [Strand(row, bench.lora(row.name)) for row in ROWS]


def test_one_file_does_what_the_mix_did(
    strands: list[Strand], bench: Bench, parts: Any, answer: Callable[..., Tensor]
) -> None:
    mixed = run(bench.mix(*ROWS), parts, answer)
    path = bench.models / "lora" / "merged.safetensors"
    save_lora(path, strands, parts)
    once = run(bench.mix(Row(name="merged")), parts, answer)
    assert torch.allclose(once, mixed, atol=2e-3)  # it is written in float16
    assert not torch.allclose(answer(), mixed, atol=2e-2)
    with safe_open(str(path), "pt") as opened:
        recipe = json.loads(opened.metadata()[RECIPE])
    assert recipe["base"] == parts.card_name
    assert [(row["name"], row["weight"]) for row in recipe["rows"]] == [
        ("ink", 0.7), ("wash", -0.4), ("dora", 0.6),
    ]  # fmt: skip
    assert all(len(row["hash"]) == 12 for row in recipe["rows"])


def test_a_lower_rank_is_the_nearest_there_is(
    strands: list[Strand], bench: Bench, parts: Any, answer: Callable[..., Tensor]
) -> None:
    mixed = run(bench.mix(*ROWS), parts, answer)
    apart = []
    for rank in (1, 4, 32):
        path = bench.models / "lora" / f"rank{rank}.safetensors"
        save_lora(path, strands, parts, rank=rank)
        ranks = {
            t.shape[0] for key, t in load_file(path).items() if key.endswith("lora_down.weight")
        }
        assert max(ranks) <= rank
        apart.append((run(bench.mix(Row(name=f"rank{rank}")), parts, answer) - mixed).norm().item())
    assert apart[0] > apart[1] > apart[2]
    assert apart[2] < 0.05 * apart[0]


def test_a_checkpoint_in_a_folder(
    strands: list[Strand], bench: Bench, parts: Any, answer: Callable[..., Tensor], tmp_path: Path
) -> None:
    source, target = make_tiny(tmp_path / "tiny", card={}), tmp_path / "inked"
    mixed = run(bench.mix(*ROWS), parts, answer)
    save_checkpoint(source, target, strands, parts)
    card = json.loads((target / "card.json").read_text())
    assert card["recipe"]["rows"][0]["name"] == "ink"
    other = load(read_card(target), device="cpu", precision="fp32")
    kept, parts.unet, parts.text_encoder = (
        (parts.unet, parts.text_encoder),
        other.unet,
        other.text_encoder,
    )
    try:
        assert torch.allclose(answer(), mixed, atol=1e-5)
    finally:
        parts.unet, parts.text_encoder = kept
    assert not list(tmp_path.glob(".*.part"))


def test_a_checkpoint_in_one_file(strands: list[Strand], parts: Any, tmp_path: Path) -> None:
    layers = layers_per_block([name for name, _ in parts.unet.named_modules()])
    tensors = {}
    for name, tensor in parts.unet.state_dict().items():
        path, _, parameter = name.rpartition(".")
        stem = next(original_names(path, layers), path)
        tensors[f"model.diffusion_model.{stem}.{parameter}"] = tensor.contiguous()
    for name, tensor in parts.text_encoder.state_dict().items():
        plain = name.removeprefix("text_model.")
        tensors[f"cond_stage_model.transformer.text_model.{plain}"] = tensor.contiguous()
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file(tensors, str(source), {"format": "pt"})
    save_checkpoint(source, target, strands, parts)
    found = load_file(target)
    changed = {key for key in tensors if not torch.equal(tensors[key], found[key])}
    assert found.keys() == tensors.keys()
    assert len(changed) == 8  # five weights of the U-Net and one of the text encoder, two biases
    assert any("text_model" in key for key in changed)


def test_what_no_file_can_hold_is_refused(bench: Bench, parts: Any, tmp_path: Path) -> None:
    bench.add("ink", made.kohya(parts, {made.LINEAR: "unet"}))
    for row in (
        Row(name="ink", start=0.5),
        Row(name="ink", curve=((0, 1),)),
        Row(name="ink", pictures=(0,)),
    ):
        with pytest.raises(UserError, match="which no file can hold"):
            save_lora(tmp_path / "x.safetensors", [Strand(row, bench.lora("ink"))], parts)
    assert not (tmp_path / "x.safetensors").exists()


def test_nothing_is_written_over(strands: list[Strand], parts: Any, tmp_path: Path) -> None:
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"mine")
    with pytest.raises(UserError, match="is there already"):
        save_lora(there, strands, parts)
    assert there.read_bytes() == b"mine"


def test_a_failed_merge_leaves_nothing_behind(
    strands: list[Strand], parts: Any, tmp_path: Path
) -> None:
    source = make_tiny(tmp_path / "tiny", card={})
    shutil.rmtree(source / "unet")
    (source / "unet").mkdir()
    with pytest.raises(UserError, match="have no place in this checkpoint"):
        save_checkpoint(source, tmp_path / "inked", strands, parts)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "models"}
