"""What an extension may do inside one generation, and the state of one step that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from modules.diffusion.parts import Parts
    from modules.schema import GenerationRequest


@dataclass
class Step:
    """One call of the denoiser. With n pictures in the batch, `model_input` and `conditioning` have n rows
    without guidance and 2n with it (the negative half first)."""

    index: int
    """0-based call of the denoiser; samplers of second order call it about twice per step."""
    total: int
    """Calls in all."""
    timestep: torch.Tensor
    """0-dimensional, on the training scale (0 to 999)."""
    sigma: float
    """Noise level: standard deviation of the noise where the picture's is 1."""
    latents: torch.Tensor
    """(n, channels, height, width), float32, as the sampler holds them; `after_step` may replace them."""
    model_input: torch.Tensor
    """What the denoiser sees, scaled by the sampler; `before_model` may replace it."""
    conditioning: torch.Tensor
    """(rows, tokens, width), `encoder_hidden_states` of this call; `before_model` may replace it."""
    request: GenerationRequest
    parts: Parts
    model_kwargs: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of this call of the denoiser."""
    guided: torch.Tensor = field(init=False, repr=False)
    """(n, ...) the denoiser's answer after guidance; there from `after_guidance` on, which may replace it."""

    def add_residuals(self, down: Sequence[torch.Tensor], mid: torch.Tensor) -> None:
        """Add ControlNet residuals to the denoiser's blocks; those of several adapters are summed.

        Raises:
            ValueError: another adapter gave another number of them.
        """
        known = self.model_kwargs.get("down_block_additional_residuals")
        if known is None:
            self.model_kwargs["down_block_additional_residuals"] = tuple(down)
            self.model_kwargs["mid_block_additional_residual"] = mid
            return
        self.model_kwargs["down_block_additional_residuals"] = tuple(
            mine + other for mine, other in zip(known, down, strict=True)
        )
        # Not in place: the tensors belong to the adapters.
        self.model_kwargs["mid_block_additional_residual"] = (
            self.model_kwargs["mid_block_additional_residual"] + mid
        )


class Adapter:
    """One extension's part in one generation. Override what you need; each method does nothing by itself."""

    name: str = ""
    order: int = 0
    """Adapters run from low to high; equal ones in the order in which they were given."""

    def applied(self, parts: Parts) -> AbstractContextManager[None]:
        """Change the parts on entering and put them back on leaving, bit by bit, whatever happened in between.

        It is entered before the prompt is encoded and left after the pictures are decoded.
        """
        return nullcontext()

    def before_model(self, step: Step) -> None:
        """Before each call of the denoiser: add residuals, keyword arguments, or change its input."""

    def after_guidance(self, step: Step) -> None:
        """After guidance, before the sampler's step: may replace `step.guided`."""

    def after_step(self, step: Step) -> None:
        """After the sampler's step: may replace `step.latents`."""
