"""Computing a part in higher precision for a while, and putting its weights back bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# Numbers beyond 65504 do not exist in fp16; bf16 has the range of fp32 in the same memory.
NEXT = {torch.float16: torch.bfloat16, torch.bfloat16: torch.float32}


def higher(dtype: torch.dtype, *, small: bool) -> torch.dtype | None:
    """What to compute in after numbers ran out of bounds in `dtype`; None: there is nothing higher.

    Args:
        small: the part takes little memory, so fp32 is affordable at once.
    """
    if dtype not in NEXT:
        return None
    return torch.float32 if small else NEXT[dtype]


@contextmanager
def computing_in(module: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Weights and buffers of `module` as `dtype` until the block ends; the very same numbers are there after it.

    The original numbers wait in the host's memory: converting back would lose bits.
    """
    tensors = [
        tensor
        for tensor in (*module.parameters(), *module.buffers())
        if tensor.is_floating_point() and tensor.dtype != dtype
    ]
    kept = [(tensor, tensor.data.to("cpu"), tensor.device) for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.to(dtype)
        yield
    finally:
        for tensor, data, device in kept:
            tensor.data = data.to(device)


def finite(numbers: torch.Tensor) -> bool:
    """Neither NaN nor infinite anywhere."""
    return bool(torch.isfinite(numbers).all())
