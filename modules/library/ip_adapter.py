"""Reading IP-Adapters: single files in the original layout (`image_proj.*`, `ip_adapter.N.to_k_ip.weight`).

Ye et al., "IP-Adapter", arXiv 2308.06721. What turns the picture's features into tokens is diffusers'; its sizes are read off
the tensors.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from modules.errors import ModelFileError
from modules.library.control_file import ControlFile, Reads, features_of
from modules.library.weights import build, read_all

_HEAD = 64
"""Channels of an attention head of the resampler, in all files that there are."""
_PAIR = re.compile(r"ip_adapter\.(\d+)\.to_k_ip\.weight")


@dataclass(frozen=True, eq=False)
class IPAdapter:
    """An IP-Adapter for one denoiser, frozen."""

    projection: Any
    """From features to tokens: (1, width) or (1, patches, width) to (1, tokens, width of the text)."""
    reads: Reads
    width: int
    """Of those features."""
    pairs: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """For each cross-attention layer its matrices for keys and values, (channels, width of the text)."""


def cross_attention(unet: Any) -> list[tuple[str, Any]]:
    """The cross-attention layers by name, in the order in which such files number them."""
    return [
        (name, module)
        for name, module in unet.named_modules()
        if name.endswith("attn2") and hasattr(module, "to_q")
    ]


def load_ip_adapter(
    file: ControlFile, unet: Any, device: torch.device, dtype: torch.dtype
) -> IPAdapter:
    """The IP-Adapter of a file, for this denoiser.

    Raises:
        ModelFileError: it is of another kind (FaceID), a tensor is missing or left over, or the denoiser is another one.
    """
    reads, width = features_of(file)
    tensors = read_all(file.path, file.header)
    start = "image_proj."
    inner = {name[len(start) :]: each for name, each in tensors.items() if name.startswith(start)}
    try:
        projection, text = _projection(file.identity.variant, inner)
    except (ArithmeticError, LookupError, ValueError, RuntimeError) as error:
        why = str(error).strip().splitlines()[-1].strip()[:300]
        raise ModelFileError("error.control.build", file=file.path, why=why) from error
    if text != unet.config.cross_attention_dim:
        raise ModelFileError(
            "error.control.shape",
            file=file.path,
            found=text,
            wanted=unet.config.cross_attention_dim,
        )
    return IPAdapter(
        projection.to(device, dtype).eval().requires_grad_(False),
        reads,
        width,
        tuple(
            (key.to(device, dtype), value.to(device, dtype))
            for key, value in _pairs(file, tensors, unet)
        ),
    )


def _pairs(
    file: ControlFile, tensors: Mapping[str, torch.Tensor], unet: Any
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Numbered by all attention layers in turn, of which every second one reads the text."""
    numbers = sorted(int(hit.group(1)) for name in tensors if (hit := _PAIR.fullmatch(name)))
    layers = cross_attention(unet)
    wanted = [(layer.to_q.weight.shape[0], unet.config.cross_attention_dim) for _, layer in layers]
    found = []
    for number in numbers:
        key = tensors[f"ip_adapter.{number}.to_k_ip.weight"]
        value = tensors.get(f"ip_adapter.{number}.to_v_ip.weight")
        if value is None or value.shape != key.shape:
            raise ModelFileError(
                "error.model.tensors",
                file=file.path,
                count=1,
                first=f"ip_adapter.{number}.to_v_ip.weight",
            )
        found.append((key, value))
    shapes = [tuple(key.shape) for key, _ in found]
    if shapes != wanted:
        at = next((n for n, pair in enumerate(zip(shapes, wanted)) if pair[0] != pair[1]), -1)  # noqa: B905
        raise ModelFileError(
            "error.control.shape",
            file=file.path,
            found=f"{len(shapes)} × {list(shapes[at]) if shapes else '-'}",
            wanted=f"{len(wanted)} × {list(wanted[at]) if wanted else '-'}",
        )
    return found


def _projection(variant: str, inner: Mapping[str, torch.Tensor]) -> tuple[Any, int]:
    """The network with its weights, and the width of the tokens that it gives."""
    from diffusers.models import embeddings

    if variant == "base":
        text, width = inner["norm.weight"].shape[0], inner["proj.weight"].shape[1]
        net = build(
            lambda: embeddings.ImageProjection(width, text, inner["proj.weight"].shape[0] // text)
        )
        renamed = {re.sub(r"^proj\b", "image_embeds", name): each for name, each in inner.items()}
    elif variant == "full":
        width, text = inner["proj.0.weight"].shape[1], inner["proj.3.weight"].shape[0]
        net = build(lambda: embeddings.IPAdapterFullImageProjection(width, text))
        names = {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "proj.3": "norm"}
        renamed = {
            f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": each
            for name, each in inner.items()
        }
    else:
        net, text = _resampler(inner)
        renamed = _resampled(inner)
    # Half-precision files are common: parameters take the file's type until they are moved.
    net.load_state_dict(renamed, strict=True, assign=True)
    return net, text


def _resampler(inner: Mapping[str, torch.Tensor]) -> tuple[Any, int]:
    from diffusers.models.embeddings import IPAdapterPlusImageProjection

    hidden, width = inner["proj_in.weight"].shape
    text = inner["proj_out.weight"].shape[0]
    depth = len({name.split(".")[1] for name in inner if name.startswith("layers.")})
    net = build(
        lambda: IPAdapterPlusImageProjection(
            embed_dims=width,
            output_dims=text,
            hidden_dims=hidden,
            depth=depth,
            dim_head=_HEAD,
            heads=inner["layers.0.0.to_q.weight"].shape[0] // _HEAD,
            num_queries=inner["latents"].shape[1],
            ffn_ratio=inner["layers.0.1.1.weight"].shape[0] // hidden,
        )
    )
    return net, text


_RESAMPLER = {
    "0.norm1": "ln0",
    "0.norm2": "ln1",
    "0.to_q": "attn.to_q",
    "0.to_out": "attn.to_out.0",
    "1.0": "ff.0",
    "1.1": "ff.1.net.0.proj",
    "1.3": "ff.1.net.2",
}


def _resampled(inner: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Under diffusers' names; keys and values are one matrix in the file."""
    found = {}
    for name, each in inner.items():
        parts = re.fullmatch(r"layers\.(\d+)\.(.+)\.(weight|bias)", name)
        if parts is None:
            found[name] = each
            continue
        layer, place, kind = parts.groups()
        if place == "0.to_kv":
            key, value = each.chunk(2)
            found[f"layers.{layer}.attn.to_k.{kind}"] = key
            found[f"layers.{layer}.attn.to_v.{kind}"] = value
        else:
            found[f"layers.{layer}.{_RESAMPLER[place]}.{kind}"] = each
    return found
