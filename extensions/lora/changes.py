"""From a file's tensors to the change of one module: a pair of low-rank matrices, or a whole difference.

What is low-rank stays so and is added on the way through the module; LoHa, LoKr, DoRA, full differences and norms
become differences of the parameters themselves. For a weight w of a row the module works with W + w * change.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .blocks import block_of
from .dialects import Target, rank_of


@dataclass(frozen=True, eq=False)
class Change:
    """One LoRA's change of one module, with `alpha` worked in; on the device and in the type that the module has."""

    part: str
    path: str
    down: Tensor | None = None
    """(rank, in) or (rank, in, height, width)"""
    up: Tensor | None = None
    """(out, rank)"""
    full: Mapping[str, Tensor] = field(default_factory=dict)
    """Differences of parameters ("weight", "bias"), of their shapes."""
    norm: float = 0.0
    """Frobenius norm of the change of the weight."""

    @property
    def block(self) -> str:
        """See `blocks`."""
        return block_of(self.part, self.path)

    def size_bytes(self) -> int:
        """Memory that it takes."""
        tensors = [
            tensor for tensor in (self.down, self.up, *self.full.values()) if tensor is not None
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def build(
    target: Target,
    tensor: Callable[[str], Tensor],
    module: nn.Module,
    noted_scale: float | None = None,
) -> Change:
    """The change of `module` that `target` describes.

    Args:
        tensor: reads a tensor of the file by its key.
        noted_scale: alpha / rank as the file's metadata has it, for files that hold no alpha.
    """
    weight = module.get_parameter("weight")
    slots = {slot: tensor(key).to(weight.device) for slot, key in target.keys.items()}
    full: dict[str, Tensor] = {}
    if "diff_b" in slots:
        full["bias"] = slots["diff_b"].to(weight.dtype)
    if set(slots) - {"alpha", "diff_b"} == set():
        return Change(target.part, target.path, full=full)
    if target.kind == "lora":
        down, up = _low_rank(slots, weight, noted_scale)
        return Change(
            target.part,
            target.path,
            down.to(weight.dtype).contiguous(),
            up.to(weight.dtype).contiguous(),
            full,
            _low_rank_norm(down, up),
        )
    difference = _difference(slots, weight, noted_scale)
    if target.kind == "dora":
        difference = _decomposed(difference, slots, weight)
    full["weight"] = difference.to(weight.dtype)
    return Change(target.part, target.path, full=full, norm=float(difference.norm()))


def _scale(slots: Mapping[str, Tensor], noted: float | None) -> float:
    rank = rank_of({slot: tuple(tensor.shape) for slot, tensor in slots.items()})
    if not rank:
        return 1.0  # both factors of a LoKr whole: nothing to divide by
    if "alpha" in slots:
        return float(slots["alpha"]) / rank
    return 1.0 if noted is None else noted


def _low_rank(
    slots: Mapping[str, Tensor], weight: Tensor, noted: float | None
) -> tuple[Tensor, Tensor]:
    down, up = slots["down"].float(), slots["up"].float()
    if "mid" in slots:  # LoCon with Tucker factors: one convolution does for the lower two
        core = slots["mid"].float()
        down = torch.einsum("mnhw,ni->mihw", core, down.flatten(1))
    rank = down.shape[0]
    down = down.reshape(rank, *weight.shape[1:])
    up = up.reshape(up.shape[0], -1) * _scale({**slots, "down": slots["down"]}, noted)
    return down, up


def _low_rank_norm(down: Tensor, up: Tensor) -> float:
    flat = down.flatten(1)
    squared = float(((up.T @ up) * (flat @ flat.T)).sum())
    # Rounding may bring a small one below 0; what is no number stays none.
    return math.sqrt(max(squared, 0.0)) if math.isfinite(squared) else math.nan


def _difference(slots: Mapping[str, Tensor], weight: Tensor, noted: float | None) -> Tensor:
    """A float32 difference of the weight's shape."""
    if "down" in slots:
        down, up = _low_rank(slots, weight, noted)
        return (up @ down.flatten(1)).reshape(weight.shape)
    if "hada_w1_a" in slots:
        one = _product(slots, "hada_w1_a", "hada_w1_b", "hada_t1")
        two = _product(slots, "hada_w2_a", "hada_w2_b", "hada_t2")
        return (one * two).reshape(weight.shape) * _scale(slots, noted)
    if "lokr_w1" in slots or "lokr_w1_a" in slots:
        return _kronecker(slots, weight) * _scale(slots, noted)
    return slots["diff"].float().reshape(weight.shape)


def _product(slots: Mapping[str, Tensor], left: str, right: str, tucker: str) -> Tensor:
    a, b = slots[left].float(), slots[right].float()
    if tucker not in slots:
        return a @ b.flatten(1)
    # Both matrices have the rank first here: (rank, out) and (rank, in).
    return torch.einsum("pqhw,po,qi->oihw", slots[tucker].float(), a, b)


def _kronecker(slots: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    def half(name: str) -> Tensor:
        whole = slots.get(f"lokr_{name}")
        if whole is not None:
            return whole.float()
        return _product(
            slots, f"lokr_{name}_a", f"lokr_{name}_b", "lokr_t2" if name == "w2" else ""
        )

    one, two = half("w1"), half("w2")
    one = one.flatten(1) if one.dim() > 2 else one
    if weight.dim() == 4:
        # Of a convolution the second factor holds the kernel: (out, in, height, width), or flattened.
        inner = weight.shape[1] // one.shape[1]
        two = two.reshape(two.shape[0], inner, *weight.shape[2:])
        one = one[..., None, None]
    return torch.kron(one, two.contiguous()).reshape(weight.shape)


def _decomposed(difference: Tensor, slots: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """DoRA's change at full strength: the direction of W + difference, with the learnt magnitude.

    PEFT keeps a magnitude for each output; LyCORIS for each input, or for each output with the others' axis first.
    """
    before = weight.float()
    turned = before + difference
    if "magnitude" in slots:
        magnitude, by_output = slots["magnitude"].float(), True
    else:
        magnitude = slots["dora"].float()
        by_output = magnitude.shape[0] != 1
    axis = 0 if by_output else 1
    others = [place for place in range(weight.dim()) if place != axis]
    length = turned.pow(2).sum(others, keepdim=True).sqrt()
    shape = [1] * weight.dim()
    shape[axis] = weight.shape[axis]
    return turned * (magnitude.reshape(shape) / length) - before
