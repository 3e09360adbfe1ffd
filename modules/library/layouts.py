"""What the parameters of a part are called in the layouts that files come in.

Each function takes the name of one parameter as diffusers and transformers have it, and gives the places where a file
may keep it, the likeliest first. From the parts to the file rather than the other way round, so that every parameter
is asked for and what nobody asked for is left over.

Layouts: the original one of CompVis and Stability (`ldm`), OpenCLIP's for its text encoders, and the older spellings
of diffusers folders.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where a parameter is: a tensor of the file, or the `piece` of three that it is made of (query, key, value)."""

    name: str
    piece: int | None = None
    turned: bool = False
    """Kept as (inputs, outputs): to be transposed."""


Layout = Callable[[str], Iterator[Place]]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
_OLD_VAE_ATTENTION = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out.0": "proj_attn",
}
_OPENCLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_OPENCLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_BLOCK = re.compile(
    r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_VAE_BLOCK = re.compile(
    r"(encoder|decoder)\.(?:down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
_VAE_MIDDLE = re.compile(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_TEXT_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def ldm_unet(config: Mapping[str, Any], prefix: str = "model.diffusion_model.") -> Layout:
    """The denoiser of a checkpoint: blocks are numbered through, from the input down and up to the output."""
    return lambda name: iter((Place(prefix + _ldm_unet(name, config)),))


def ema_unet(config: Mapping[str, Any]) -> Layout:
    """The averaged denoiser of a training checkpoint, where names have lost their dots."""
    return lambda name: iter(
        (Place("model_ema.diffusion_model" + _ldm_unet(name, config).replace(".", "")),)
    )


def ldm_vae(config: Mapping[str, Any], prefix: str = "first_stage_model.") -> Layout:
    """The autoencoder of a checkpoint or of a VAE file (which may have no prefix)."""
    blocks = len(config["block_out_channels"])
    return lambda name: iter((Place(prefix + _ldm_vae(name, blocks)),))


def clip(prefix: str) -> Layout:
    """A text encoder as transformers saves it; some programs leave `text_model.` out."""

    def places(name: str) -> Iterator[Place]:
        bare = name.removeprefix("text_model.")
        yield Place(f"{prefix}text_model.{bare}")
        yield Place(prefix + bare)

    return places


def openclip(prefix: str) -> Layout:
    """A text encoder as OpenCLIP saves it: query, key and value in one, the projection on its side."""

    def places(name: str) -> Iterator[Place]:
        bare = name.removeprefix("text_model.")
        if bare == "text_projection.weight":
            yield Place(f"{prefix}text_projection", turned=True)
            yield Place(f"{prefix}text_projection.weight")
            return
        if bare in _OPENCLIP:
            yield Place(prefix + _OPENCLIP[bare])
            return
        layer = _TEXT_LAYER.fullmatch(bare)
        if layer is None:
            raise KeyError(name)
        number, what, kind = layer.groups()
        block = f"{prefix}transformer.resblocks.{number}."
        piece = {"q_proj": 0, "k_proj": 1, "v_proj": 2}.get(what.removeprefix("self_attn."))
        if piece is not None:
            yield Place(f"{block}attn.in_proj_{kind}", piece)
            return
        yield Place(f"{block}{_OPENCLIP_LAYER[what]}.{kind}")

    return places


def diffusers(name: str) -> Iterator[Place]:
    """A folder of diffusers: the same names, or those of its first versions, or of transformers before 5."""
    yield Place(name)
    for new, old in _OLD_VAE_ATTENTION.items():
        if f".attentions.0.{new}." in name:
            yield Place(name.replace(f".{new}.", f".{old}."))
    bare = name.removeprefix("text_model.")
    yield Place(bare if bare != name else f"text_model.{name}")


def _ldm_unet(name: str, config: Mapping[str, Any]) -> str:
    stem, _, kind = name.rpartition(".")
    if stem in _UNET_ENDS:
        return f"{_UNET_ENDS[stem]}.{kind}"
    layers = int(config.get("layers_per_block", 2))
    if block := _BLOCK.fullmatch(name):
        way, at, what, index, rest = block.groups()
        number, place = int(at), int(index)
        if way == "down":
            first = 1 + number * (layers + 1)
            if what == "downsamplers":
                return f"input_blocks.{first + layers}.0.{rest.replace('conv.', 'op.', 1)}"
            return f"input_blocks.{first + place}.{_inner(what, rest)}"
        first = number * (layers + 1)
        if what == "upsamplers":
            crossed = "CrossAttn" in config["up_block_types"][number]
            return f"output_blocks.{first + layers}.{2 if crossed else 1}.{rest}"
        return f"output_blocks.{first + place}.{_inner(what, rest)}"
    if middle := _MIDDLE.fullmatch(name):
        what, index, rest = middle.groups()
        if what == "attentions":
            return f"middle_block.{2 * int(index) + 1}.{rest}"
        return f"middle_block.{2 * int(index)}.{_resnet(rest)}"
    raise KeyError(name)


def _inner(what: str, rest: str) -> str:
    return f"0.{_resnet(rest)}" if what == "resnets" else f"1.{rest}"


def _resnet(rest: str) -> str:
    layer, _, kind = rest.partition(".")
    return f"{_RESNET[layer]}.{kind}"


def _ldm_vae(name: str, blocks: int) -> str:
    if block := _VAE_BLOCK.fullmatch(name):
        half, at, what, index, rest = block.groups()
        # The decoder's blocks are numbered by size, from the picture inwards, in the original layout.
        number = int(at) if half == "encoder" else blocks - 1 - int(at)
        way = "down" if half == "encoder" else "up"
        if what == "resnets":
            return f"{half}.{way}.{number}.block.{index}.{_shortcut(rest)}"
        return f"{half}.{way}.{number}.{way}sample.{rest}"
    if middle := _VAE_MIDDLE.fullmatch(name):
        half, what, index, rest = middle.groups()
        if what == "resnets":
            return f"{half}.mid.block_{int(index) + 1}.{_shortcut(rest)}"
        stem, _, kind = rest.rpartition(".")
        return f"{half}.mid.attn_1.{_VAE_ATTENTION[stem]}.{kind}"
    return name.replace("conv_norm_out", "norm_out")


def _shortcut(rest: str) -> str:
    return rest.replace("conv_shortcut", "nin_shortcut")
