"""ControlNets and the other networks that steer a denoiser by a picture."""

from collections.abc import Mapping

from modules.library.identify.checkpoint import WIDTHS
from modules.library.identify.identity import Identity, Shapes, width


def identify(shapes: Shapes, metadata: Mapping[str, str]) -> Identity | None:
    """A ControlNet, Control-LoRA, ControlLLLite, T2I-Adapter or IP-Adapter; None for anything else."""
    return _llite(shapes) or _ip_adapter(shapes) or _controlnet(shapes) or _t2i_adapter(shapes)


def _controlnet(shapes: Shapes) -> Identity | None:
    if any(name.startswith("control_model.") for name in shapes):
        inner = {
            name.removeprefix("control_model."): shape
            for name, shape in shapes.items()
            if name.startswith("control_model.")
        }
        return Identity("controlnet", family=_family(inner), layout="ldm", variant="controlnet")
    if "lora_controlnet" in shapes or (
        "input_hint_block.0.weight" in shapes and any(name.endswith(".down") for name in shapes)
    ):
        return Identity("controlnet", _family(shapes), "ldm", "control_lora")
    if "input_hint_block.0.weight" in shapes and "zero_convs.0.0.weight" in shapes:
        return Identity("controlnet", family=_family(shapes), layout="ldm", variant="controlnet")
    if "controlnet_cond_embedding.conv_in.weight" in shapes:
        kind = "union" if "control_add_embedding.linear_1.weight" in shapes else "controlnet"
        return Identity("controlnet", family=_family(shapes), layout="diffusers", variant=kind)
    if "controlnet_blocks.0.weight" in shapes:
        return Identity("controlnet", _transformer(shapes), "diffusers", "controlnet")
    if "control_all_x_embedder.2-1.weight" in shapes:
        return Identity("controlnet", family="z_image", layout="ldm", variant="controlnet")
    return None


def _family(inner: Shapes) -> str:
    """By the width of the text that it reads; SDXL's small ones read none, but are told the picture's size."""
    found = width(inner, "attn2.to_k.weight", "attn2.to_k.down")
    added = inner.get("add_embedding.linear_1.weight") or inner.get("label_emb.0.0.weight")
    return WIDTHS.get(found, "sdxl" if added else "")


def _transformer(shapes: Shapes) -> str:
    if "controlnet_x_embedder.weight" in shapes:
        return "qwen_image" if "transformer_blocks.0.img_mod.1.weight" in shapes else "flux1"
    if "pos_embed_input.proj.weight" in shapes:
        side = shapes["controlnet_blocks.0.weight"][-1]
        return "sd35_large" if side == 2432 else "sd3"
    if any(name.startswith("double_blocks.") for name in shapes):
        return "flux1"
    return ""


def _t2i_adapter(shapes: Shapes) -> Identity | None:
    layouts = {
        "ldm": ("body.0.block1.weight", "conv_in.weight"),
        "diffusers": ("adapter.body.0.resnets.0.block1.weight", "adapter.conv_in.weight"),
    }
    for layout, (body, first) in layouts.items():
        if body in shapes and len(shapes.get(first, ())) == 4:
            # Folded 8 x 8 for SD 1.x, 16 x 16 for SDXL; of one or three channels.
            family = {64: "sd1", 192: "sd1", 256: "sdxl", 768: "sdxl"}.get(shapes[first][1], "")
            return Identity("t2i_adapter", family=family, layout=layout, variant="full")
    if "adapter.body.0.resnets.0.block1.weight" in shapes:
        return Identity("t2i_adapter", family="sd1", layout="diffusers", variant="light")
    if any(
        name.startswith(("body.0.body.0.block1", "adapter.body.0.body.0.block1")) for name in shapes
    ):
        return Identity("t2i_adapter", family="sd1", layout="ldm", variant="light")
    return None


def _ip_adapter(shapes: Shapes) -> Identity | None:
    if not any(name.startswith("ip_adapter.") for name in shapes):
        return None
    side = width(shapes, "to_k_ip.weight")
    if any(name.startswith("double_blocks.") for name in shapes):
        return Identity("ip_adapter", family="flux1", layout="original")
    kinds = {
        "image_proj.perceiver_resampler.proj_in.weight": "faceid",
        "image_proj.latents": "plus",
        "image_proj.proj.3.weight": "full",
        "image_proj.proj.0.weight": "faceid",  # the portrait kind, which brings no LoRA
        "image_proj.proj.weight": "base",
    }
    variant = next((kind for name, kind in kinds.items() if name in shapes), "")
    if any("to_k_lora" in name or "to_q_lora" in name for name in shapes):
        variant = "faceid"
    if shapes.get("image_proj.proj_in.weight", ())[-1:] == (512,):  # a face's vector, not a picture
        variant = "instantid"
    return Identity("ip_adapter", family=WIDTHS.get(side, ""), layout="original", variant=variant)


def _llite(shapes: Shapes) -> Identity | None:
    if any(name.startswith("lllite_unet_") for name in shapes):
        return Identity("controlnet", family="sdxl", layout="kohya", variant="lllite")
    return None
