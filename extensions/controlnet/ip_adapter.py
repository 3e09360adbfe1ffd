"""Units whose model is an IP-Adapter: their picture is a reference, not a map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from modules.plugins import Host, problem
from modules.plugins.adapters import Parts, Step

from .ip_adapter_attention import ARGUMENT, Given, woven
from .ip_adapter_encoder import Encoders
from .maps import mask_of, preprocessed
from .modules_list import IP_ADAPTER, module_named

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


def check_module(unit: Unit, net: Net) -> None:
    """An IP-Adapter takes the picture itself, and nothing else takes its preprocessor.

    Raises:
        UserError: they do not go together; says what does.
    """
    module = module_named(unit.module).name
    if net.kind == "ip_adapter" and module not in (IP_ADAPTER, "none"):
        raise problem(
            f"{net.name} is an IP-Adapter, which looks at the picture itself, and the preprocessor is {module}. "
            f"Choose the preprocessor {IP_ADAPTER}, or a ControlNet.",
            f"{net.name} 是 IP-Adapter，直接读取图片本身，而预处理器为 {module}。请选择预处理器 {IP_ADAPTER}，或改用 "
            "ControlNet。",
        )
    if net.kind != "ip_adapter" and module == IP_ADAPTER:
        raise problem(
            f"The preprocessor {IP_ADAPTER} is for IP-Adapters, and {net.name} is none. Choose another preprocessor, "
            "or an IP-Adapter.",
            f"预处理器 {IP_ADAPTER} 仅适用于 IP-Adapter，而 {net.name} 不是。请选择其他预处理器，或改用 IP-Adapter。",
        )


@torch.no_grad()
def _tokens(
    host: Host, encoders: Encoders, unit: Unit, net: Net, parts: Parts
) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, tokens, width of the text): of the picture, and of none."""
    image = preprocessed(host, unit, (512, 512))
    features = encoders.features(unit.image, image, net.model, parts)
    seen, none = (net.model.projection(each) for each in features)
    return seen, none
