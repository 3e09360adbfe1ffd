"""On what a model runs, and in which numbers."""

import time

import torch

from modules.errors import UserError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LARGE = 500_000_000
"""Parameters of the denoiser from which half precision is worth it on a CPU."""
_SIDE = 384
_ROUNDS = 5


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the first of cuda, mps and cpu that is there.

    Raises:
        UserError: there is no such device.
    """
    there = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if name == "auto":
        name = next(kind for kind, number in there.items() if number)
    kind, _, number = name.partition(":")
    index = int(number) if number.isdecimal() else 0
    if kind not in there or (number and not number.isdecimal()) or index >= there[kind]:
        known = ", ".join(kind for kind, count in there.items() if count)
        raise UserError("error.device", found=name, known=known)
    return torch.device(name)


def pick_dtype(precision: str, device: torch.device, parameters: int) -> torch.dtype:
    """What to compute in: "auto" is fp16 on cuda and mps; on a CPU fp32, or bf16 for a large model where that is quick,
    whatever precision the file has.

    Raises:
        UserError: an unknown precision, or fp16 on a CPU, which is some forty times slower than fp32 there.
    """
    if precision == "auto":
        if device.type != "cpu":
            return torch.float16
        return torch.bfloat16 if parameters > LARGE and bf16_is_quick() else torch.float32
    if precision not in PRECISIONS:
        raise UserError("error.precision", found=precision, known=", ".join(("auto", *PRECISIONS)))
    if precision == "fp16" and device.type == "cpu":
        raise UserError("error.precision.fp16_cpu")
    return PRECISIONS[precision]


def bf16_is_quick() -> bool:
    """Whether this CPU multiplies matrices in bf16 at least as quickly as in fp32.

    Where torch knows of the instructions (AVX512-BF16) the answer is theirs. Elsewhere (ARM, AMX alone, an emulation
    that is some times slower) a few small products are timed, in turn and the best of each taken: it is about twice
    as quick with such instructions and several times as slow without, so that a busy machine does not change the
    answer. It takes some milliseconds.
    """
    # Not in torch's public part, but the only question that it answers on every system.
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if known is not None and known():
        return True
    pairs = [torch.ones((_SIDE, _SIDE), dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    best = [float("inf")] * 2
    for _ in range(_ROUNDS):
        for index, matrix in enumerate(pairs):
            began = time.perf_counter()
            torch.mm(matrix, matrix)
            best[index] = min(best[index], time.perf_counter() - began)
    return best[1] <= best[0]
