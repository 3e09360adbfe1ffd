"""Reading ControlNets and T2I-Adapters: single files in the original or in diffusers' layout.

What a network looks like is read off the header and off the denoiser that it is for, of whose encoder it is a copy:
so small ones and pruned ones load as well, and a `config.json` beside the file can do no harm.
Zhang et al., arXiv 2302.05543; Mou et al., "T2I-Adapter", arXiv 2302.08453.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from modules.errors import ModelFileError
from modules.library.control_file import ControlFile
from modules.library.layouts import Layout, Place, diffusers, ldm_unet
from modules.library.weights import Source, build, fill

_FROM_UNET = (
    "in_channels",
    "flip_sin_to_cos",
    "freq_shift",
    "downsample_padding",
    "mid_block_scale_factor",
    "act_fn",
    "norm_num_groups",
    "norm_eps",
    "attention_head_dim",
    "num_attention_heads",
    "use_linear_projection",
    "addition_time_embed_dim",
    "resnet_time_scale_shift",
    "upcast_attention",
)
_HINT = "controlnet_cond_embedding."


# ------------------------------------------------------------------------------------------------ ControlNet


def load_controlnet(
    file: ControlFile, unet: Any, device: torch.device, dtype: torch.dtype, *, pooled: bool = False
) -> Any:
    """diffusers' ControlNetModel for this denoiser, frozen.

    Args:
        pooled: what it gives is averaged over the picture, as the one trained on shuffled pictures wants it.

    Raises:
        ModelFileError: a tensor is missing or left over, or the denoiser is another one.
    """
    from diffusers.models.controlnets.controlnet import ControlNetModel

    shapes = file.header.shapes
    ldm = file.identity.layout == "ldm"
    config = _same(unet.config) if ldm else _read(shapes, unet.config)
    prefix = "control_model." if any(name.startswith("control_model.") for name in shapes) else ""
    config["conditioning_embedding_out_channels"] = _hint_channels(shapes, prefix, ldm)
    config["global_pool_conditions"] = pooled
    wanted = tuple(unet.config.block_out_channels)
    text = unet.config.cross_attention_dim
    other = config.get("cross_attention_dim", text)
    if tuple(config["block_out_channels"]) != wanted or other != text:
        raise ModelFileError(
            "error.control.shape",
            file=file.path,
            found=f"{list(config['block_out_channels'])}, {other}",
            wanted=f"{list(wanted)}, {text}",
        )
    try:
        net = build(lambda: ControlNetModel.from_config(config))
    except (ValueError, TypeError, IndexError) as error:
        raise ModelFileError("error.control.build", file=file.path, why=str(error)) from error
    layout: Layout = _ldm_control(config, prefix) if ldm else diffusers
    # A training checkpoint of the original program has the model beside the network.
    return fill(net, Source.of(file.path, [file.path]), layout, device, dtype, own=(prefix,))


def _same(unet: Mapping[str, Any]) -> dict[str, Any]:
    """A whole copy of the encoder."""
    names = (
        *_FROM_UNET,
        "down_block_types",
        "block_out_channels",
        "layers_per_block",
        "cross_attention_dim",
        "transformer_layers_per_block",
        "addition_embed_type",
        "projection_class_embeddings_input_dim",
        "class_embed_type",
        "num_class_embeds",
    )
    return {**{name: unet[name] for name in names if name in unet}, "in_channels": 4}


def _read(shapes: Mapping[str, tuple[int, ...]], unet: Mapping[str, Any]) -> dict[str, Any]:
    """From the names and shapes of diffusers' layout; what no tensor tells is the denoiser's."""
    config = {name: unet[name] for name in _FROM_UNET if name in unet}
    blocks = _count(shapes, r"down_blocks\.(\d+)\.")
    crossed = [_count(shapes, rf"down_blocks\.{n}\.attentions\.(\d+)\.") > 0 for n in range(blocks)]
    layers = [
        _count(shapes, rf"down_blocks\.{n}\.attentions\.0\.transformer_blocks\.(\d+)\.")
        for n in range(blocks)
    ]
    text = next(
        (shape[-1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None
    )
    told = shapes.get("add_embedding.linear_1.weight")
    middle = any(name.startswith("mid_block.attentions.") for name in shapes)
    config |= {
        "in_channels": shapes.get("conv_in.weight", (0, 4))[1],
        "down_block_types": [("CrossAttnDownBlock2D" if one else "DownBlock2D") for one in crossed],
        "block_out_channels": [
            shapes.get(f"down_blocks.{n}.resnets.0.conv1.weight", (0,))[0] for n in range(blocks)
        ],
        "layers_per_block": _count(shapes, r"down_blocks\.0\.resnets\.(\d+)\."),
        "transformer_layers_per_block": [max(1, count) for count in layers],
        "mid_block_type": "UNetMidBlock2DCrossAttn" if middle else "UNetMidBlock2D",
    }
    if text is not None:
        config["cross_attention_dim"] = text
    if told is not None:
        config["addition_embed_type"] = "text_time"
        config["projection_class_embeddings_input_dim"] = told[1]
    return config


def _hint_channels(
    shapes: Mapping[str, tuple[int, ...]], prefix: str, ldm: bool
) -> tuple[int, ...]:
    """Channels of the little network that brings the picture to the latents' size: halved between each two."""
    if ldm:
        stem, weight = f"{prefix}input_hint_block.", ".weight"
        last = max(
            (int(name[len(stem) :].split(".")[0]) for name in shapes if name.startswith(stem)),
            default=0,
        )
        numbers = [0, *range(4, last, 4)]
        return tuple(shapes.get(f"{stem}{n}{weight}", (0,))[0] for n in numbers)
    count = _count(shapes, r"controlnet_cond_embedding\.blocks\.(\d+)\.")
    names = [f"{_HINT}conv_in.weight"]
    names += [f"{_HINT}blocks.{n}.weight" for n in range(1, count, 2)]
    return tuple(shapes.get(name, (0,))[0] for name in names)


def _count(names: Mapping[str, Any], pattern: str) -> int:
    found = (re.match(pattern, name) for name in names)
    return 1 + max((int(match.group(1)) for match in found if match), default=-1)


def _ldm_control(config: Mapping[str, Any], prefix: str) -> Layout:
    """The original layout: the encoder as in a checkpoint, the picture's network, one convolution per output."""
    encoder = ldm_unet(config, prefix)
    last = 2 * (2 * (len(config["conditioning_embedding_out_channels"]) - 1) + 1)

    def places(name: str) -> Iterator[Place]:
        if name.startswith(_HINT):
            part, _, kind = name[len(_HINT) :].rpartition(".")
            number = 0 if part == "conv_in" else last
            if part.startswith("blocks."):
                number = 2 * (int(part.removeprefix("blocks.")) + 1)
            yield Place(f"{prefix}input_hint_block.{number}.{kind}")
        elif name.startswith("controlnet_down_blocks."):
            _, number_, kind = name.split(".")
            yield Place(f"{prefix}zero_convs.{number_}.0.{kind}")
        elif name.startswith("controlnet_mid_block."):
            yield Place(f"{prefix}middle_block_out.0.{name.rpartition('.')[2]}")
        else:
            yield from encoder(name)

    return places


# ----------------------------------------------------------------------------------------------- T2I-Adapter


def load_t2i_adapter(
    file: ControlFile, unet: Any, family: str, device: torch.device, dtype: torch.dtype
) -> Any:
    """diffusers' T2IAdapter for this denoiser, frozen.

    Raises:
        ModelFileError: a tensor is missing or left over, or the denoiser is another one.
    """
    from diffusers.models.adapter import T2IAdapter

    shapes = file.header.shapes
    prefix = "adapter." if any(name.startswith("adapter.") for name in shapes) else ""
    light = file.identity.variant == "light"
    config = _t2i_config(shapes, prefix, light, family == "sdxl", file.identity.layout)
    _check_levels(file, config["channels"], unet.config, family)
    try:
        net = build(lambda: T2IAdapter(**config))
    except (ValueError, TypeError, IndexError) as error:
        raise ModelFileError("error.control.build", file=file.path, why=str(error)) from error
    layout: Callable[[str], Iterator[Place]] = diffusers
    if file.identity.layout == "ldm":
        per = int(config["num_res_blocks"])

        def layout(name: str) -> Iterator[Place]:
            yield Place(prefix + _t2i_name(name.removeprefix("adapter."), light, per))

    return fill(net, Source.of(file.path, [file.path]), layout, device, dtype, own=("",))


def _check_levels(
    file: ControlFile, channels: Sequence[int], unet: Mapping[str, Any], family: str
) -> None:
    """What it adds has to fit the denoiser's blocks; that of SD 1.x counts on a first block that reads the text."""
    wanted = list(unet["block_out_channels"])
    first = str(unet["down_block_types"][0])
    count = min(len(wanted), len(channels))
    if list(channels[:count]) != wanted[:count] or (
        family != "sdxl" and not first.startswith("CrossAttn")
    ):
        raise ModelFileError(
            "error.control.shape",
            file=file.path,
            found=f"{list(channels)}, CrossAttnDownBlock2D",
            wanted=f"{wanted}, {first}",
        )


def _t2i_config(
    shapes: Mapping[str, tuple[int, ...]], prefix: str, light: bool, xl: bool, layout: str
) -> dict[str, Any]:
    inner = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    factor = 16 if xl else 8
    body = _count(inner, r"body\.(\d+)\.")
    if light:
        inside = "body" if layout == "ldm" else "resnets"
        first = inner["body.0.in_conv.weight"]
        return {
            "in_channels": first[1] // factor**2,
            "channels": [inner[f"body.{n}.out_conv.weight"][0] for n in range(body - 1)],
            "num_res_blocks": _count(inner, rf"body\.0\.{inside}\.(\d+)\."),
            "downscale_factor": factor,
            "adapter_type": "light_adapter",
        }
    first = inner["conv_in.weight"]
    if layout == "ldm":
        # Blocks are numbered through; a level begins where the channels change, or every second block.
        per = 2
        channels = [inner[f"body.{n}.block1.weight"][0] for n in range(0, body, per)]
    else:
        per = _count(inner, r"body\.0\.resnets\.(\d+)\.")
        channels = [inner[f"body.{n}.resnets.0.block1.weight"][0] for n in range(body)]
    return {
        "in_channels": first[1] // factor**2,
        "channels": channels,
        "num_res_blocks": per,
        "downscale_factor": factor,
        "adapter_type": "full_adapter_xl" if xl else "full_adapter",
    }


def _t2i_name(name: str, light: bool, per: int) -> str:
    """The original layout's name of a parameter of diffusers'."""
    found = re.fullmatch(r"body\.(\d+)\.(?:resnets\.(\d+)\.)?(.+)", name)
    if found is None:
        return name
    level, inner, rest = int(found.group(1)), found.group(2), found.group(3)
    if light:
        return f"body.{level}.body.{inner}.{rest}" if inner is not None else name
    return f"body.{level * per + int(inner or 0)}.{rest}"
