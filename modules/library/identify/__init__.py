"""What a weight file holds, from its header alone. One module per kind, each with the same function `identify`."""

from collections.abc import Mapping

from modules.library.identify import (
    checkpoint,
    control,
    embedding,
    encoders,
    lora,
    upscaler,
    vae,
)
from modules.library.identify.identity import UNKNOWN, Identity, Shapes

__all__ = ["UNKNOWN", "Identity", "identify"]

# Changes to a model first: their names contain those of the model that they change.
_KINDS = (lora, control, checkpoint, vae, encoders, embedding, upscaler)


def identify(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> Identity:
    """What the tensors of these names and shapes are; `UNKNOWN` for what nobody knows.

    Args:
        metadata: the free text of the header. It settles what names and shapes leave open, and no more: anybody
            can write into it.
    """
    for kind in _KINDS:
        found = kind.identify(shapes, metadata or {})
        if found is not None:
            return found
    return UNKNOWN
