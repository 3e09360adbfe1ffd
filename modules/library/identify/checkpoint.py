"""Checkpoints and denoisers: the original layout of each family, and that of diffusers."""

from collections.abc import Mapping

from modules.library.identify.identity import Identity, Shapes, blocks, width

UNET = "model.diffusion_model."
EMA = "model_ema.diffusion_model"
VAES = ("first_stage_model.", "vae.")
WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl_refiner"}
"""Width of the text that a UNet reads."""
VARIANTS = {4: "base", 5: "depth", 7: "upscale", 8: "edit", 9: "inpaint"}
"""By the UNet's input channels."""
_TEXT = {
    "cond_stage_model.": "text_encoder",
    "conditioner.embedders.0.transformer.": "text_encoder",
    "conditioner.embedders.1.model.": "text_encoder_2",
    "conditioner.embedders.0.model.": "text_encoder_2",
    "text_encoders.": "text_encoder",
}
# A tensor that only this family has, in the original layout; then its family.
_TRANSFORMERS = (
    ("joint_blocks.0.x_block.attn.qkv.weight", "sd3"),
    ("distilled_guidance_layer.in_proj.weight", "chroma"),
    ("single_stream_modulation.lin.weight", "flux2"),
    ("double_blocks.0.img_attn.norm.key_norm.scale", "flux1"),
    ("double_blocks.0.img_attn.norm.key_norm.weight", "flux1"),
    ("layers.0.adaLN_modulation.0.weight", "z_image"),
    ("layers.0.adaLN_modulation.1.weight", "lumina2"),
    ("transformer_blocks.0.img_mod.1.weight", "qwen_image"),
    ("double_layers.0.attn.w1q.weight", "auraflow"),
    ("blocks.0.cross_attn.q_linear.weight", "pixart"),
    ("head.modulation", "wan"),
    ("double_stream_blocks.0.block.adaLN_modulation.1.bias", "hidream"),
    ("txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias", "hunyuan_video"),
)
_DIFFUSERS = (
    ("double_stream_modulation_img.linear.weight", "flux2"),
    ("single_transformer_blocks.0.attn.norm_q.weight", "flux1"),
    ("all_x_embedder.2-1.weight", "z_image"),
    ("transformer_blocks.0.img_mod.1.weight", "qwen_image"),
    ("pos_embed.proj.weight", "sd3"),
)


def identify(shapes: Shapes, metadata: Mapping[str, str]) -> Identity | None:
    """A checkpoint, or the denoiser of one; None for anything else."""
    whole = any(name.startswith(UNET) for name in shapes)
    if not whole and any(name.startswith(EMA) for name in shapes):
        return _only_ema(shapes, metadata)
    prefix = next(
        (
            start
            for start in (UNET, "diffusion_model.", "net.")
            if any(name.startswith(start) for name in shapes)
        ),
        "",
    )
    inner = {
        name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)
    }
    found = _denoiser(inner)
    if found is None:
        return None
    family, layout, variant = found
    holds = _holds(shapes) | {"unet"}
    return Identity(
        kind="checkpoint" if len(holds) > 1 else "denoiser",
        family=family,
        layout=layout,
        variant=variant,
        holds=frozenset(holds),
        zero_snr="ztsnr" in shapes,
        prediction_type=_prediction(shapes, metadata),
        side=_side(metadata),
    )


def _denoiser(inner: Shapes) -> tuple[str, str, str] | None:
    """Family, layout and variant."""
    first = inner.get("input_blocks.0.0.weight")
    if first is not None and len(first) == 4 and "out.2.weight" in inner:
        family = WIDTHS.get(_text_width(inner, "input_blocks.", "middle_block."), "")
        return family, "ldm", VARIANTS.get(first[1], f"{first[1]} channels")
    first = inner.get("conv_in.weight")
    if first is not None and len(first) == 4 and "time_embedding.linear_1.weight" in inner:
        family = WIDTHS.get(_text_width(inner, "down_blocks.", "mid_block."), "")
        return family, "diffusers", VARIANTS.get(first[1], f"{first[1]} channels")
    for table, layout in ((_DIFFUSERS, "diffusers"), (_TRANSFORMERS, "ldm")):
        for name, family in table:
            if name in inner:
                return _refined(inner, family, layout)
    return None


def _text_width(inner: Shapes, *starts: str) -> int:
    return width(
        {name: shape for name, shape in inner.items() if name.startswith(starts)},
        "attn2.to_k.weight",
    )


def _refined(inner: Shapes, family: str, layout: str) -> tuple[str, str, str]:
    if family == "sd3":
        stem = "joint_blocks." if layout == "ldm" else "transformer_blocks."
        more = "x_block.attn2.qkv.weight" if layout == "ldm" else "attn2.to_q.weight"
        if blocks(inner, stem) > 30:
            return "sd35_large", layout, "base"
        medium = f"{stem}0.{more}" in inner
        return ("sd35_medium" if medium else "sd3"), layout, "base"
    if family == "flux1":
        guided = any(
            name.startswith(("guidance_in.", "time_text_embed.guidance_")) for name in inner
        )
        first = inner.get("img_in.weight") or inner.get("x_embedder.weight") or (0, 64)
        special = {384: "fill", 128: "control"}.get(first[-1], "")
        return family, layout, special or ("dev" if guided else "schnell")
    if family == "flux2":
        guided = any("guidance" in name for name in inner)
        return family, layout, "dev" if guided else "klein"
    # Qwen-Image is called the same in both layouts.
    return family, "diffusers" if family == "qwen_image" else layout, "base"


def _holds(shapes: Shapes) -> set[str]:
    holds = {"vae" for name in shapes if name.startswith(VAES)}
    holds |= {"unet_ema" for name in shapes if name.startswith(EMA)}
    for start, part in _TEXT.items():
        if any(name.startswith(start) for name in shapes):
            holds.add(part)
    return holds


def _only_ema(shapes: Shapes, metadata: Mapping[str, str]) -> Identity | None:
    """A training checkpoint that kept the averaged denoiser alone: names have no dots."""
    family = WIDTHS.get(width(shapes, "attn2to_kweight"), "")
    first = shapes.get(f"{EMA}input_blocks00weight", ())
    if len(first) != 4:
        return None
    return Identity(
        kind="checkpoint",
        family=family,
        layout="ldm",
        variant=VARIANTS.get(first[1], f"{first[1]} channels"),
        holds=frozenset(_holds(shapes)),
        prediction_type=_prediction(shapes, metadata),
        side=_side(metadata),
    )


def _prediction(shapes: Shapes, metadata: Mapping[str, str]) -> str | None:
    if "v_pred" in shapes:
        return "v_prediction"
    said = metadata.get("modelspec.prediction_type", "").lower().strip()
    if said in ("v", "v_prediction", "v-prediction"):
        return "v_prediction"
    if said in ("epsilon", "eps"):
        return "epsilon"
    architecture = metadata.get("modelspec.architecture", "").lower()
    if architecture.startswith("stable-diffusion-v2-768-v"):
        return "v_prediction"
    if architecture.startswith("stable-diffusion-v2-512"):
        return "epsilon"
    return None


def _side(metadata: Mapping[str, str]) -> int | None:
    """`modelspec.resolution` is "1024x1024" or "512"."""
    said = metadata.get("modelspec.resolution", "").lower().split("x")[0].strip()
    return int(said) if said.isdecimal() and 64 <= int(said[:6]) <= 4096 and len(said) < 6 else None
