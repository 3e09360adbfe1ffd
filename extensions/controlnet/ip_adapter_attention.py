"""IP-Adapters in the denoiser's cross-attention.

Decoupled cross-attention (Ye et al., arXiv 2308.06721, equation 5): beside what the text gives, each query also looks at the
picture's tokens with keys and values of their own, and both are added before the layer's last matrix. Done by hooks around
the layer's own processor, so that other changes of the layer (LoRA, sliced attention) stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from modules.plugins.weights import cross_attention

if TYPE_CHECKING:
    from modules.plugins.weights import IPAdapter

ARGUMENT = "ip_hidden_states"
"""Of `cross_attention_kwargs`; diffusers lets attention layers that know nothing of it pass it by."""


class Given(NamedTuple):
    """What one unit says in one call of the denoiser."""

    tokens: torch.Tensor
    """(rows, tokens, width of the text)"""
    scale: float
    mask: torch.Tensor | None
    """(1, 1, height, width) of the latents, 0 to 1: where it acts."""


@contextmanager
def woven(unet: Any, adapters: Sequence[IPAdapter]) -> Iterator[None]:
    """Listen at the cross-attention of `unet` for `ARGUMENT`: a mapping of the adapter's place in `adapters` to `Given`.

    A call without it, or with an empty one, is as ever; on leaving nothing is left behind.
    """
    with ExitStack() as hooks:
        for number, (_, layer) in enumerate(cross_attention(unet)):
            listening = _Layer(layer, [adapter.pairs[number] for adapter in adapters])
            for handle in (
                layer.register_forward_pre_hook(listening.begin, with_kwargs=True),
                layer.to_q.register_forward_hook(listening.ask),
                layer.to_out[0].register_forward_pre_hook(listening.add),
            ):
                hooks.callback(handle.remove)
        yield


class _Layer:
    """One layer of cross-attention."""

    def __init__(self, layer: Any, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self._heads = int(layer.heads)
        self._pairs = pairs
        self._given: Mapping[int, tuple[Any, ...]] = {}
        self._query: torch.Tensor | None = None

    def begin(
        self, module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Take the argument away from the layer's processor."""
        named = dict(named)
        self._given = named.pop(ARGUMENT, None) or {}
        self._query = None
        return given, named

    def ask(self, module: nn.Module, given: tuple[Any, ...], query: torch.Tensor) -> None:
        """Keep the queries, (rows, places, channels)."""
        if self._given:
            self._query = query

    def add(self, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Add what the pictures' tokens give to what the text gave."""
        query, self._query = self._query, None
        if query is None:
            return None
        found, *others = given
        for place, (tokens, scale, mask) in self._given.items():
            key, value = self._pairs[place]
            seen = self._attended(query, F.linear(tokens, key), F.linear(tokens, value))
            if mask is not None:
                seen = seen * _at(mask, seen.shape[1]).to(seen)
            found = found + scale * seen
        return (found, *others)

    def _attended(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        def split(each: torch.Tensor) -> torch.Tensor:
            return each.unflatten(-1, (self._heads, -1)).transpose(1, 2)

        seen = F.scaled_dot_product_attention(split(query), split(key), split(value))
        return seen.transpose(1, 2).flatten(2)


def _at(mask: torch.Tensor, places: int) -> torch.Tensor:
    """(1, places, 1): the mask at a level of the denoiser, which halves the latents' sides, rounding up."""
    height, width = mask.shape[-2:]
    while height * width > places:
        height, width = -(-height // 2), -(-width // 2)
    return F.interpolate(mask, size=(height, width), mode="area").reshape(1, -1, 1)
