"""Control models with random weights for the tiny models, written in each layout."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.adapter import T2IAdapter
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file

HINT = (8, 16, 24)
"""The tiny autoencoder has four pixels to a latent, so the hint is halved twice."""

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
# By hand, for two blocks of one layer: not the code under test.
_ORIGINAL = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "controlnet_cond_embedding.conv_in": "input_hint_block.0",
    "controlnet_cond_embedding.blocks.0": "input_hint_block.2",
    "controlnet_cond_embedding.blocks.1": "input_hint_block.4",
    "controlnet_cond_embedding.blocks.2": "input_hint_block.6",
    "controlnet_cond_embedding.blocks.3": "input_hint_block.8",
    "controlnet_cond_embedding.conv_out": "input_hint_block.10",
    "controlnet_down_blocks.0": "zero_convs.0.0",
    "controlnet_down_blocks.1": "zero_convs.1.0",
    "controlnet_down_blocks.2": "zero_convs.2.0",
    "controlnet_down_blocks.3": "zero_convs.3.0",
    "controlnet_mid_block": "middle_block_out.0",
}


def controlnet(unet: Any, seed: int = 3) -> Any:
    """A copy of the encoder whose outputs are not zero."""
    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.startswith(("controlnet_", "mid_block")):
                value.normal_(0, 0.2)
    return net.eval()


def original(net: Any) -> dict[str, torch.Tensor]:
    """Its tensors under the names of the original layout."""
    found = {}
    for name, value in net.state_dict().items():
        start = max((each for each in _ORIGINAL if name.startswith(each + ".")), key=len)
        rest = name[len(start) + 1 :]
        if ".resnets." in start + ".":
            layer, _, kind = rest.partition(".")
            rest = f"{_RESNET[layer]}.{kind}"
        found[f"control_model.{_ORIGINAL[start]}.{rest}"] = value
    return found


def t2i(family: str, seed: int = 4) -> Any:
    """Two levels, as the tiny denoisers have; SDXL's kind always has four."""
    torch.manual_seed(seed)
    xl = family == "sdxl"
    return T2IAdapter(
        in_channels=3,
        channels=[32, 64, 64, 64] if xl else [32, 64],
        num_res_blocks=2,
        downscale_factor=16 if xl else 8,
        adapter_type="full_adapter_xl" if xl else "full_adapter",
    ).eval()


def light(seed: int = 4) -> Any:
    """The small kind."""
    torch.manual_seed(seed)
    return T2IAdapter(
        in_channels=3,
        channels=[32],
        num_res_blocks=2,
        downscale_factor=8,
        adapter_type="light_adapter",
    ).eval()


def with_text_first(parts: Any) -> Any:
    """A model whose denoiser reads the text in its first block, as SD 1.x does: T2I-Adapters count on it."""
    torch.manual_seed(6)
    wide = parts.unet.config.cross_attention_dim
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=wide,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    return replace(parts, unet=unet.eval().requires_grad_(False))


def original_t2i(net: Any) -> dict[str, torch.Tensor]:
    """Blocks numbered through."""
    found = {}
    for name, value in net.state_dict().items():
        parts = name.removeprefix("adapter.").split(".")
        if parts[0] == "body":
            level = int(parts[1]) * 2
            if parts[2] == "resnets":
                parts = ["body", str(level + int(parts[3])), *parts[4:]]
            else:
                parts = ["body", str(level), *parts[2:]]
        found[".".join(parts)] = value
    return found


def write(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """As safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path
