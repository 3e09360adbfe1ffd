"""One layer of cross-attention with an IP-Adapter."""

import pytest
import torch
from diffusers.models.attention_processor import Attention

from extensions.controlnet.ip_adapter_attention import ARGUMENT, Given, woven
from modules.library.ip_adapter import IPAdapter


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


@pytest.mark.parametrize(("size", "level"), [((4, 6), (4, 6)), ((5, 7), (3, 4))])
def test_a_mask_acts_where_it_is_white_and_nowhere_else(
    size: tuple[int, int], level: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    layer = Attention(query_dim=8, cross_attention_dim=6, heads=2, dim_head=4).eval()
    pair = (torch.randn(8, 6), torch.randn(8, 6))
    adapter = IPAdapter(None, "image_embeds", 0, (pair,))
    hidden, text = torch.randn(2, level[0] * level[1], 8), torch.randn(2, 5, 6)
    tokens = torch.randn(2, 4, 6)
    mask = torch.zeros(1, 1, *size)
    mask[..., : size[1] // 2 + size[1] % 2] = 1

    def asked(given: dict[int, Given]) -> torch.Tensor:
        answer: torch.Tensor = layer(hidden, text, **{ARGUMENT: given})
        return answer.view(2, *level, 8)

    with torch.no_grad(), woven(torch.nn.ModuleDict({"attn2": layer}), [adapter]):
        plain, whole = layer(hidden, text).view(2, *level, 8), asked({0: Given(tokens, 1.0, None)})
        masked = asked({0: Given(tokens, 1.0, mask)})
        assert torch.equal(asked({}), plain)
    assert gap(whole, plain) > 1e-2
    assert torch.allclose(masked[:, :, 0], whole[:, :, 0], atol=1e-6)
    assert torch.allclose(masked[:, :, -1], plain[:, :, -1], atol=1e-6)


def test_queries_are_those_that_other_changes_of_the_layer_made() -> None:
    torch.manual_seed(1)
    layer = Attention(query_dim=8, cross_attention_dim=6, heads=2, dim_head=4).eval()
    adapter = IPAdapter(None, "image_embeds", 0, ((torch.randn(8, 6), torch.randn(8, 6)),))
    hidden, text, tokens = torch.randn(1, 9, 8), torch.randn(1, 5, 6), torch.randn(1, 4, 6)
    found = []
    for changed in ("by a hook", "in the weight"):
        if changed == "in the weight":
            layer.to_q.weight.data.mul_(3)
            handle = None
        else:
            handle = layer.to_q.register_forward_hook(lambda module, given, query: query * 3)
        with torch.no_grad(), woven(torch.nn.ModuleDict({"attn2": layer}), [adapter]):
            found.append(layer(hidden, text, **{ARGUMENT: {0: Given(tokens, 1.0, None)}}))
        if handle is not None:
            handle.remove()
    assert torch.allclose(*found, atol=1e-6)
