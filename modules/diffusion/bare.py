"""Calls of models with nothing around them: what a generation cannot do without, to measure the rest against."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch


def replay(calls: Iterable[tuple[Any, Sequence[Any], Mapping[str, Any]]]) -> None:
    """Call each module again with its positional and named arguments, as `generate` does: without gradients."""
    with torch.inference_mode():
        for module, args, kwargs in calls:
            module(*args, **kwargs)


def wait(device: torch.device) -> None:
    """Until the device has done what it was told: a graphics card works on while the program goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
