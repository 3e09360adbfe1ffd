"""What the worker part of an extension (`adapter.py`) imports; this needs torch, so the page never loads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.parts import Parts
from modules.errors import UnknownNameError
from modules.plugins.host import Host

if TYPE_CHECKING:  # what follows is loaded by the worker, when it is used
    from modules.diffusion.guidance import Row

__all__ = [
    "Adapter",
    "Parts",
    "Row",
    "Step",
    "ask_again",
    "clean",
    "compute_device",
    "open_model",
    "safe_weights",
]

Tensor = Any
"""`torch.Tensor`; torch is imported by who computes."""


def ask_again(
    step: Step,
    model_input: Tensor,
    conditioning: Tensor,
    added: Mapping[str, Tensor],
    model_kwargs: dict[str, Any],
) -> Tensor:
    """One more call of the step's denoiser, with rows of your choice; its answer, (rows, ...), float32.

    The arguments are as a `Step` has them in `before_model`. No adapter is asked about this call.
    """
    from modules.diffusion.families import FAMILIES

    family = FAMILIES[step.parts.family]
    return family.predict(step.parts, model_input, step.timestep, conditioning, added, model_kwargs)


def clean(step: Step, answer: Tensor) -> Tensor:
    """The clean latents, (n, channels, height, width), that an answer of the denoiser, (n, ...), stands for."""
    from modules.diffusion.families import FAMILIES

    return FAMILIES[step.parts.family].to_denoised(step.parts, step.latents, answer, step.sigma)


def open_model(host: Host, name: str) -> tuple[Parts, Path]:
    """A checkpoint by name, on the processor in float32, and where it lies: for commands, which have no job's model.

    Raises:
        UnknownNameError: there is none of that name; says which there are.
        ModelFileError: it cannot be read.
    """
    from modules.library.load import load
    from modules.library.scan import scan

    cards = {card.name: card for card in scan(host.models).cards}
    if name not in cards:
        raise UnknownNameError("error.model.unknown", found=name, known=", ".join(cards) or "-")
    return load(cards[name], "cpu", "fp32"), cards[name].path


def compute_device(host: Host) -> Any:
    """The `torch.device` that generations of this installation use.

    Raises:
        UserError: there is none of that name.
    """
    from modules.library.precision import pick_device

    return pick_device(host.device)


def safe_weights(host: Host, path: Path) -> Path:
    """A weight file that can be read without running code: `path`, or the safetensors copy of a legacy file.

    The copy is made once, by a process that can run none of the file's code.

    Raises:
        ModelFileError: it is damaged, or wants to run something.
    """
    from modules.library.pickles import Converter

    if path.suffix.lower() == ".safetensors":
        return path
    folder = host.converted or host.data / "converted"
    return Converter(folder).get(path)
