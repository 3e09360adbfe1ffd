"""What an extension may do inside one generation, and the state of one step that it sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from pydantic import JsonValue

    from modules.diffusion.guidance import Row
    from modules.diffusion.parts import Parts
    from modules.errors import UserError
    from modules.schema import GenerationRequest


@dataclass
class Step:
    """One look of the sampler at the picture: one call of the denoiser, or more where prompts differ in length.

    Latents are clean + sigma * noise for every sampler.
    """

    index: int
    """0-based look of the sampler; samplers of second order look about twice per step."""
    total: int
    """Looks in all; an estimate where the sampler is adaptive."""
    step: int
    """0-based step, of those asked for, that the look belongs to."""
    steps: int
    """How many were asked for."""
    timestep: torch.Tensor
    """0-dimensional, on the training scale (0 to 999), with fractions."""
    sigma: float
    """Noise level: standard deviation of the noise where the picture's is 1."""
    latents: torch.Tensor
    """(n, channels, height, width), float32, at the level `sigma`: where the sampler looks. In `after_step`, which
    may replace them, those that the whole step led to."""
    request: GenerationRequest
    parts: Parts
    rows: tuple[Row, ...] = field(init=False, repr=False)
    """What this call of the denoiser reads: n rows of `model_input` and `conditioning` for each entry, in this order."""
    model_input: torch.Tensor = field(init=False, repr=False)
    """(rows, channels, height, width), what the denoiser sees, on its own scale and with further input channels;
    `before_model` may replace it."""
    conditioning: torch.Tensor = field(init=False, repr=False)
    """(rows, tokens, width), `encoder_hidden_states` of this call; `before_model` may replace it."""
    added: Mapping[str, torch.Tensor] = field(init=False, repr=False)
    """(rows, ...) each: what a family adds beside (`text_embeds`, `time_ids`); `before_model` may replace it."""
    model_kwargs: dict[str, Any] = field(default_factory=dict, repr=False)
    """Further keyword arguments of this call of the denoiser."""
    denoised: torch.Tensor = field(init=False, repr=False)
    """(n, channels, height, width), the clean latents that the model sees, after guidance; there from `after_guidance`
    on, which may replace it."""

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
    text_key: str | None = None
    """What tells apart the prompts that are encoded while it is applied: "" leaves the text encoders alone, any other
    text names the change, so that encoded prompts are kept from job to job; None keeps none."""

    def applied(self, parts: Parts) -> AbstractContextManager[None]:
        """Change the parts on entering and put them back on leaving, bit by bit, whatever happened in between.

        It is entered before the prompt is encoded and left after the pictures are decoded.
        """
        return nullcontext()

    def before_model(self, step: Step) -> None:
        """Before each call of the denoiser: add residuals, keyword arguments, or change its input."""

    def after_guidance(self, step: Step) -> None:
        """After guidance, before the sampler goes on: may replace `step.denoised`."""

    def after_step(self, step: Step) -> None:
        """After each whole step of the sampler: may replace `step.latents`."""

    def warnings(self) -> Sequence[UserError]:
        """Asked before the first step: what of the request changes nothing or is done otherwise than it was asked for.

        It is told with the job and beside its pictures; what cannot be done at all is refused instead.
        """
        return ()

    def infotext(self) -> Mapping[str, str]:
        """Asked when a picture is saved: parameters for its text, such as {"Lora hashes": "ink: 0123456789ab"}."""
        return {}

    def receipt(self) -> JsonValue:
        """Asked when a picture is saved: what was done, as plain JSON that is kept in the picture; None for nothing."""
        return None
