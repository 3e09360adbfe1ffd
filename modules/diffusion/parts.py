"""The parts of a loaded model. The library makes them, the engine and the extensions' adapters use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass
class Parts:
    """One model, ready to run: weights on `device`, frozen, in evaluation mode.

    Whoever changes a part puts it back exactly (`Adapter.applied`); one generation at a time uses them.
    """

    family: str
    tokenizer: Any
    text_encoder: Any
    unet: Any
    vae: Any
    preview: Any | None
    """AutoencoderTiny that decodes previews, or None; may be `vae` itself."""
    scheduler_config: dict[str, Any]
    device: torch.device
    dtype: torch.dtype
    """What the denoiser and the text encoder compute in; latents between the steps are always float32."""
    card_name: str
    latent_rgb: torch.Tensor | None = field(default=None, repr=False)
    """(channels + 1, 3): straight map from latents to colours, fitted at the first preview."""

    def modules(self) -> Iterator[nn.Module]:
        """Every part that holds weights, each once."""
        seen: set[int] = set()
        for module in (self.text_encoder, self.unet, self.vae, self.preview):
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield module

    def size_bytes(self) -> int:
        """Memory that the weights take."""
        return sum(
            tensor.numel() * tensor.element_size()
            for module in self.modules()
            for tensor in (*module.parameters(), *module.buffers())
        )
