"""FreeU's part in a generation."""

from collections.abc import Iterator
from contextlib import contextmanager

from modules.plugins import problem
from modules.plugins.adapters import Adapter, Parts

SCALES = ("s1", "s2", "b1", "b2")


class FreeU(Adapter):
    """Sets the four scales where diffusers' up-blocks look for them, and takes them away again."""

    text_key = ""  # the text encoders are left alone

    def __init__(self, b1: float, b2: float, s1: float, s2: float) -> None:
        self._values = {"b1": b1, "b2": b2, "s1": s1, "s2": s2}

    @contextmanager
    def applied(self, parts: Parts) -> Iterator[None]:
        """Scale the features of `parts.unet` while the generation runs.

        Raises:
            UserError: when the model has no U-Net with skip connections.
        """
        blocks = getattr(parts.unet, "up_blocks", None)
        if blocks is None:
            raise problem(
                "FreeU needs a model with a U-Net. Switch it off for this model.",
                "FreeU 需要带 U-Net 的模型。请为该模型关闭它。",
            )
        # diffusers' own disable_freeu() leaves the attributes behind as None; the exact undo is to restore __dict__.
        before = [
            {name: vars(block)[name] for name in SCALES if name in vars(block)} for block in blocks
        ]
        try:
            for block in blocks:
                for name in SCALES:
                    setattr(block, name, self._values[name])
            yield
        finally:
            for block, kept in zip(blocks, before, strict=True):
                for name in SCALES:
                    vars(block).pop(name, None)
                vars(block).update(kept)
