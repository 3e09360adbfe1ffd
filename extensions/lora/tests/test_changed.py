"""Each dialect changes the model as its formula says, and leaves it to the bit as it was."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from extensions.lora.adapter import Mix
from extensions.lora.rows import Row
from modules.diffusion.seal import seal

from . import made
from .conftest import Bench

DIALECTS = (
    "kohya",
    "kohya without alpha",
    "text encoder",
    "locon",
    "locon tucker",
    "peft",
    "old diffusers",
    "loha",
    "loha conv",
    "loha tucker",
    "lokr",
    "lokr whole",
    "lokr conv",
    "lokr conv whole",
    "dora peft",
    "dora by input",
    "dora by output",
    "full",
    "norm",
)


def step(index: int = 0, total: int = 10, pictures: int = 1, rows: int = 1) -> Any:
    return SimpleNamespace(
        index=index,
        total=total,
        step=index,
        steps=total,
        latents=torch.zeros(pictures, 4, 8, 8),
        model_input=torch.zeros(rows, 4, 8, 8),
    )


def state(parts: Any) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name in ("unet", "text_encoder")
        for key, value in getattr(parts, name).state_dict().items()
    }


def same(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> bool:
    return before.keys() == after.keys() and all(
        torch.equal(value, after[key]) for key, value in before.items()
    )


def run(mix: Mix, parts: Any, answer: Callable[..., Tensor], **where: int) -> Tensor:
    with mix.applied(parts):
        now = step(**where)
        mix.before_model(now)
        return answer(len(now.model_input))


def test_every_dialect_is_tried(parts: Any) -> None:
    assert tuple(made.every_dialect(parts)) == DIALECTS


@pytest.mark.parametrize("dialect", DIALECTS)
def test_it_changes_the_answer_and_undoes_itself(
    dialect: str, bench: Bench, parts: Any, answer: Callable[..., Tensor]
) -> None:
    bench.add("one", made.every_dialect(parts)[dialect])
    before, sealed, weights = answer(), seal(parts), state(parts)
    changed = run(bench.mix(Row(name="one")), parts, answer)
    assert (changed - before).abs().max() > 1e-4
    assert torch.equal(answer(), before)
    assert seal(parts).difference(sealed) is None
    assert same(weights, state(parts))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_undo_holds_when_a_generation_ends_in_an_error(
    dialect: str, bench: Bench, parts: Any, answer: Callable[..., Tensor]
) -> None:
    bench.add("one", made.every_dialect(parts)[dialect])
    before, sealed, weights = answer(), seal(parts), state(parts)
    mix = bench.mix(Row(name="one"))
    with pytest.raises(KeyboardInterrupt), mix.applied(parts):
        mix.before_model(step())
        answer()
        raise KeyboardInterrupt
    assert torch.equal(answer(), before)
    assert seal(parts).difference(sealed) is None
    assert same(weights, state(parts))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_weight_zero_is_no_lora_to_the_bit(
    dialect: str, bench: Bench, parts: Any, answer: Callable[..., Tensor]
) -> None:
    bench.add("one", made.every_dialect(parts)[dialect])
    before = answer(2)
    assert torch.equal(run(bench.mix(Row(name="one", weight=0)), parts, answer, rows=2), before)
    beside = bench.mix(Row(name="one", weight=0), Row(name="one", weight=0.5))
    alone = bench.mix(Row(name="one", weight=0.5))
    assert torch.equal(run(beside, parts, answer, rows=2), run(alone, parts, answer, rows=2))


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "text encoder"])
def test_it_is_what_its_formula_says(
    dialect: str, bench: Bench, parts: Any, answer: Callable[..., Tensor]
) -> None:
    """Against weights written by hand, where the changed weight is worked out by the papers' formulas."""
    tensors = made.every_dialect(parts)[dialect]
    bench.add("one", tensors)
    changed = run(bench.mix(Row(name="one", weight=0.7)), parts, answer)
    before = state(parts)
    try:
        with torch.no_grad():
            for path, name, new in by_hand(tensors, parts, 0.7):
                getattr(parts.unet.get_submodule(path), name).copy_(new)
        expected = answer()
    finally:
        parts.unet.load_state_dict(
            {k.removeprefix("unet."): v for k, v in before.items() if k.startswith("unet.")}
        )
    assert torch.allclose(changed, expected, atol=2e-5)


def by_hand(tensors: dict[str, Tensor], parts: Any, weight: float) -> list[tuple[str, str, Tensor]]:
    """(module, parameter, its value): slow, plain loops over the formulas."""
    found = []
    for path in (made.LINEAR, made.QUERY, made.OUT, made.CONV, made.DOWN, made.NORM):
        module = parts.unet.get_submodule(path)
        own = module.weight
        slots = slots_of(tensors, path)
        if not slots:
            continue
        if "diff_b" in slots:
            found.append((path, "bias", module.bias + weight * slots["diff_b"]))
        if "b_norm" in slots:
            found.append((path, "bias", module.bias + weight * slots["b_norm"]))
        delta = delta_by_hand(slots, own.shape)
        if "lora_magnitude_vector" in slots or "dora_scale" in slots:
            turned = own + delta
            scale = slots.get("lora_magnitude_vector", slots.get("dora_scale"))
            if "dora_scale" in slots and scale.shape[0] == 1:
                norms = torch.stack([turned[:, i].norm() for i in range(own.shape[1])])
                ratio = (scale.flatten() / norms).view(1, -1, *[1] * (own.dim() - 2))
            else:
                norms = torch.stack([turned[o].norm() for o in range(own.shape[0])])
                ratio = (scale.flatten() / norms).view(-1, *[1] * (own.dim() - 1))
            delta = turned * ratio - own
        found.append((path, "weight", own + weight * delta))
    return found


def slots_of(tensors: dict[str, Tensor], path: str) -> dict[str, Tensor]:
    flat = "lora_unet_" + path.replace(".", "_") + "."
    dotted = f"unet.{path}."
    old = "unet." + path.replace(".to_", ".processor.to_").removesuffix(".0") + "_lora."
    found = {}
    for key, value in tensors.items():
        for prefix in (flat, dotted, old):
            if key.startswith(prefix):
                found[key.removeprefix(prefix)] = value
    return found


def delta_by_hand(slots: dict[str, Tensor], shape: torch.Size) -> Tensor:
    alpha = slots.get("alpha")
    if "diff" in slots or "w_norm" in slots:
        return slots.get("diff", slots.get("w_norm"))
    if "hada_w1_a" in slots:
        factors = []
        for number in ("1", "2"):
            a, b = slots[f"hada_w{number}_a"], slots[f"hada_w{number}_b"]
            core = slots.get(f"hada_t{number}")
            if core is None:
                factors.append((a @ b).reshape(shape))
            else:
                total = torch.zeros(shape)
                for p in range(core.shape[0]):
                    for q in range(core.shape[1]):
                        total += a[p].view(-1, 1, 1, 1) * b[q].view(1, -1, 1, 1) * core[p, q]
                factors.append(total)
        return factors[0] * factors[1] * (alpha / made.RANK)
    if "lokr_w1" in slots:
        one = slots["lokr_w1"]
        whole = slots.get("lokr_w2")
        scale = 1.0
        if whole is None:
            whole = slots["lokr_w2_a"] @ slots["lokr_w2_b"]
            scale = float(alpha) / made.RANK
        whole = whole.reshape(shape[0] // 4, shape[1] // 4, *shape[2:])
        total = torch.empty(shape)
        high, wide = shape[0] // 4, shape[1] // 4
        for i in range(4):
            for j in range(4):
                total[i * high : (i + 1) * high, j * wide : (j + 1) * wide] = one[i, j] * whole
        return total * scale
    down = next(
        v for k, v in slots.items() if k in ("lora_down.weight", "lora_A.weight", "down.weight")
    )
    up = next(v for k, v in slots.items() if k in ("lora_up.weight", "lora_B.weight", "up.weight"))
    scale = 1.0 if alpha is None else float(alpha) / made.RANK
    core = slots.get("lora_mid.weight")
    total = torch.zeros(shape)
    for r in range(made.RANK):
        if core is None:
            total += up[:, r].reshape(-1, *[1] * (len(shape) - 1)) * down[r : r + 1]
        else:
            for s in range(made.RANK):
                total += up[:, r].reshape(-1, 1, 1, 1) * down[s].reshape(1, -1, 1, 1) * core[r, s]
    return total * scale
