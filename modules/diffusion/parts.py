"""The parts of a loaded model. The library makes them, the engine and the extensions' adapters use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from modules.diffusion.prompts.cache import EncodedCache

if TYPE_CHECKING:
    import torch
    from torch import nn


Variant = Literal["base", "inpaint", "edit"]
"""What the denoiser reads beside the noisy latents: nothing; a mask and the masked picture (9 channels); the picture
that is to be edited (8 channels, InstructPix2Pix)."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """A textual inversion: vectors that stand in a prompt for the name."""

    name: str
    vectors: tuple[torch.Tensor | None, ...]
    """(tokens, width) for `text_encoder` and `text_encoder_2`, float32 on the CPU; None where the file has nothing
    for that encoder. All that are there have the same number of tokens."""
    sha256: str = ""
    """Of its file; empty where it comes from none."""

    @property
    def tokens(self) -> int:
        """How many tokens of a prompt it takes."""
        return next(len(part) for part in self.vectors if part is not None)


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
    tokenizer_2: Any = None
    """Of SDXL's second text encoder. The SDXL refiner has only this pair: its `text_encoder` is None."""
    text_encoder_2: Any = None
    tokenizer_3: Any = None
    """Of T5, which Stable Diffusion 3 can do without."""
    text_encoder_3: Any = None
    pipeline_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Settings of a family that runs through a pipeline of diffusers (`model_index.json`)."""
    variant: Variant = "base"
    embeddings: Mapping[str, Embedding] = field(default_factory=dict, repr=False)
    """By name as it stands in prompts, those only that fit this model's text encoders."""
    encoded: EncodedCache = field(default_factory=EncodedCache, repr=False)
    """Texts that this model's text encoders have read before."""
    latent_rgb: torch.Tensor | None = field(default=None, repr=False)
    """(channels + 1, 3): straight map from latents to colours, fitted at the first preview."""

    def modules(self) -> Iterator[nn.Module]:
        """Every part that holds weights, each once."""
        seen: set[int] = set()
        for module in (
            *self.text_encoders,
            self.unet,
            self.vae,
            self.preview,
        ):
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield module

    @property
    def text_encoders(self) -> list[nn.Module]:
        """Those that there are."""
        every = (self.text_encoder, self.text_encoder_2, self.text_encoder_3)
        return [each for each in every if each is not None]

    def size_bytes(self) -> int:
        """Memory that the weights take."""
        return sum(
            tensor.numel() * tensor.element_size()
            for module in self.modules()
            for tensor in (*module.parameters(), *module.buffers())
        )

    @contextmanager
    def using(self, vae: Any) -> Iterator[None]:
        """Another autoencoder than the model's own while the block lasts."""
        own = (self.vae, self.preview, self.latent_rgb)
        self.vae, self.latent_rgb = vae, None
        if self.preview is own[0]:
            self.preview = None
        try:
            yield
        finally:
            self.vae, self.preview, self.latent_rgb = own
