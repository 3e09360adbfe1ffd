"""Units whose model is an IP-Adapter: their picture is a reference, not a map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from modules.plugins import Host
from modules.plugins.adapters import Parts, Step

from .ip_adapter_attention import ARGUMENT, Given, woven
from .ip_adapter_encoder import Encoders
from .maps import mask_of, preprocessed

if TYPE_CHECKING:
    from .nets import Net
    from .unit import Unit


class References:
    """The IP-Adapters of a request, by their place among its units."""

    def __init__(
        self,
        host: Host,
        encoders: Encoders,
        units: Sequence[tuple[Unit, Net]],
        parts: Parts,
        factor: int,
    ) -> None:
        """Encodes each picture once, before the first step.

        Args:
            factor: pixels to a latent.

        Raises:
            UserError: a picture or the image encoder is missing, or damaged.
        """
        self._host = host
        self._factor = factor
        self._units = tuple(units)
        self._tokens = [_tokens(host, encoders, unit, net, parts) for unit, net in units]
        self._masks: dict[tuple[int, int, int], torch.Tensor | None] = {}

    @contextmanager
    def applied(self, parts: Parts) -> Iterator[None]:
        """Their layers in the denoiser while a generation runs."""
        with woven(parts.unet, [net.model for _, net in self._units]):
            yield

    def give(self, step: Step, acting: Sequence[int]) -> None:
        """Tell this call of the denoiser what the units at these places say; the rest say nothing.

        Negative rows get what the IP-Adapter makes of no picture, so that guidance leads away from it, as in the paper.
        """
        given = {place: self._given(step, place) for place in acting}
        if given:
            known = step.model_kwargs.get("cross_attention_kwargs") or {}
            step.model_kwargs["cross_attention_kwargs"] = {**known, ARGUMENT: given}

    def _given(self, step: Step, place: int) -> tuple[torch.Tensor, float, torch.Tensor | None]:
        seen, none = self._tokens[place]
        count = len(step.model_input) // len(step.rows)
        rows = [seen if row.kind == "positive" else none for row in step.rows]
        tokens = torch.cat([row.expand(count, -1, -1) for row in rows])
        height, width = step.latents.shape[-2:]
        # A plain tuple: whoever asks for some of the rows again takes it apart.
        unit, _ = self._units[place]
        return tuple(Given(tokens, unit.weight, self._mask(place, height, width)))

    def _mask(self, place: int, height: int, width: int) -> torch.Tensor | None:
        key = (place, height, width)
        if key not in self._masks:
            unit, _ = self._units[place]
            found = mask_of(self._host, unit, (width * self._factor, height * self._factor))
            self._masks[key] = None
            if found is not None:
                covers = torch.from_numpy(found.copy())[None, None]
                self._masks[key] = F.interpolate(covers, size=(height, width), mode="area").to(
                    self._tokens[place][0].device
                )
        return self._masks[key]


@torch.no_grad()
def _tokens(
    host: Host, encoders: Encoders, unit: Unit, net: Net, parts: Parts
) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, tokens, width of the text): of the picture, and of none."""
    image = preprocessed(host, unit, (512, 512))
    features = encoders.features(unit.image, image, net.model, parts)
    seen, none = (net.model.projection(each) for each in features)
    return seen, none
