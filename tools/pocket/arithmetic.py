"""In which numbers to compute here."""

import torch


def half() -> torch.autocast:
    """bf16 where the processor has instructions for it; elsewhere it is emulated, and some times slower than fp32."""
    # Not in torch's public part, but the only question that it answers on every system.
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.autocast("cpu", torch.bfloat16, enabled=known is not None and known())
