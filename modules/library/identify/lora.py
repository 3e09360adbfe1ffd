"""LoRA and its relatives, in the dialects of the programs that train them."""

import re
from collections.abc import Iterable, Mapping

from modules.library.identify.checkpoint import WIDTHS
from modules.library.identify.identity import Identity, Shapes

# Ends of names, and what kind of change they belong to. "*.weight" of two matrices, the first reads the input.
_ALGORITHMS = (
    ("dora", (".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight")),
    ("loha", (".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b")),
    ("lokr", (".lokr_w1", ".lokr_w1_a", ".lokr_w2", ".lokr_w2_a")),
    ("oft", (".oft_blocks", ".oft_diag", ".oft_R.weight")),
    ("ia3", (".on_input",)),
    ("glora", (".a1.weight", ".a2.weight", ".b1.weight")),
    (
        "lora",
        (".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight", ".lora.down.weight"),
    ),
    ("lora", ("_lora.down.weight", ".lora_linear_layer.down.weight", "_lora1.down.weight")),
    ("lora", (".lora_up.weight", ".lora_B.weight", ".lora.up.weight", "_lora.up.weight")),
    ("full", (".diff",)),
)
_IN = (
    ".lora_down.weight",
    ".lora_A.weight",
    ".lora_A.default.weight",
    ".lora.down.weight",
    "_lora.down.weight",
    ".lora_linear_layer.down.weight",
    "_lora1.down.weight",
    ".hada_w1_b",
    ".diff",
    ".a2.weight",
)
_KOHYA = (
    "lora_unet_",
    "lora_te_",
    "lora_te1_",
    "lora_te2_",
    "lora_te3_",
    "lycoris_",
    "lora_transformer_",
    "lora_prior_",
)
_BASES = {
    "sd_v1": "sd1",
    "sd_1.5": "sd1",
    "sd_v2": "sd2",
    "sdxl": "sdxl",
    "sd3": "sd3",
    "flux2": "flux2",
    "flux": "flux1",
    "stable-diffusion-v1": "sd1",
    "stable-diffusion-v2": "sd2",
    "stable-diffusion-xl-v1": "sdxl",
    "stable-diffusion-3": "sd3",
}


def identify(shapes: Shapes, metadata: Mapping[str, str]) -> Identity | None:
    """A LoRA, LoHa, LoKr, DoRA …: `layout` is the dialect, `variant` the kind of change. None for anything else."""
    algorithm = next((name for name, ends in _ALGORITHMS if any(_end(shapes, ends))), None)
    if algorithm is None or _is_control(shapes):
        return None
    return Identity(
        "lora",
        family=_family(shapes, metadata),
        layout=_dialect(shapes, metadata),
        variant=algorithm,
    )


def _end(shapes: Shapes, ends: tuple[str, ...]) -> Iterable[str]:
    return (name for name in shapes if name.endswith(ends))


def _is_control(shapes: Shapes) -> bool:
    """A ControlNet or IP-Adapter that contains low-rank matrices is none of ours."""
    return any(
        name.startswith(
            ("ip_adapter.", "image_proj.", "control_model.", "lllite_", "input_hint_block.")
        )
        for name in shapes
    )


def _dialect(shapes: Shapes, metadata: Mapping[str, str]) -> str:
    names = shapes.keys()
    if any(name.startswith("bundle_emb.") for name in names) or any(
        key.startswith("ot_") for key in metadata
    ):
        return "onetrainer"
    if any(".processor." in name and "_lora1." in name for name in names):
        return "xlabs"
    if any(name.startswith(_KOHYA) for name in names):
        return "kohya"
    if any(name.startswith("base_model.model.") for name in names):
        return "peft"
    if any(".lora_A." in name for name in names):
        # diffusers says which part a matrix belongs to; the trainers of newer models keep the original names.
        starts = ("unet.", "transformer.", "text_encoder.", "text_encoder_2.")
        return "diffusers" if any(name.startswith(starts) for name in names) else "original"
    if any(".processor." in name or "_lora.down" in name or ".lora.down" in name for name in names):
        return "diffusers_old"
    return "original"


def _family(shapes: Shapes, metadata: Mapping[str, str]) -> str:
    flat = {name.replace(".", "_"): name for name in shapes}
    return (
        _by_transformer(shapes, flat)
        or _by_text_width(shapes, flat)
        or _by_metadata(metadata)
        or _by_encoder(shapes, flat)
    )


def _by_transformer(shapes: Shapes, flat: Mapping[str, str]) -> str:
    sides = _sides(shapes)
    if _any(flat, "joint_blocks_"):
        return "sd35_large" if 2432 in sides else "sd3"
    if _any(flat, "double_blocks_", "single_blocks_", "single_transformer_blocks_"):
        return "flux2" if _flux2(shapes, flat, sides) else "flux1"
    if _any(flat, "img_mlp", "img_mod_", "txt_mlp"):
        return "qwen_image"
    if _any(flat, "_double_layers_"):
        return "auraflow"
    if re.search(r"(^|[ _])layers_\d+_(attention|feed_forward|adaLN)", " ".join(flat)):
        return "lumina2" if 2304 in sides and 3840 not in sides else "z_image"
    in_unet = _any(flat, "down_blocks_", "up_blocks_", "input_blocks_", "output_blocks_", "mid")
    if not in_unet and _any(flat, "transformer_blocks_"):
        widths = {2432: "sd35_large", 1536: "sd3", 3072: "flux1"}
        return next((family for side, family in widths.items() if side in sides), "")
    return ""


def _flux2(shapes: Shapes, flat: Mapping[str, str], sides: set[int]) -> bool:
    """FLUX.2 is 6,144 or 4,096 wide; where it is 3,072 wide as FLUX.1 is, its inner layers are gated, so twice as wide."""
    if _any(flat, "to_qkv_mlp_proj", "ff_linear_in", "ff_context_linear_in"):
        return True
    if 6144 in sides or (4096 in sides and 3072 not in sides):
        return True
    return any(
        (shape[0] == 27648 and "linear1" in plain) or (shape[0] == 18432 and "mlp" in plain)
        for plain, name in flat.items()
        if name.endswith((".lora_up.weight", ".lora_B.weight"))
        for shape in (shapes[name],)
    )


def _by_text_width(shapes: Shapes, flat: Mapping[str, str]) -> str:
    """The key and value matrices of cross-attention read the text: their inputs are as wide as it."""
    for plain, name in sorted(flat.items()):
        if "attn2" in plain and ("to_k" in plain or "to_v" in plain):
            side = _inputs(shapes, name)
            if side in WIDTHS:
                return WIDTHS[side]
    if _any(flat, "lora_te2_", "text_encoder_2_"):
        return "sdxl"
    # Only SDXL has so many transformer layers in one block.
    if any(
        re.search(r"(attentions|blocks|block)_\d+(_\d+)?_transformer_blocks_[4-9]", plain)
        for plain in flat
    ):
        return "sdxl"
    return ""


def _inputs(shapes: Shapes, name: str) -> int:
    shape = shapes[name]
    if name.endswith(_IN) and len(shape) >= 2:
        return shape[1]
    if name.endswith((".lokr_w1", ".lokr_w1_b")):
        stem = name.rpartition(".")[0]
        other = shapes.get(f"{stem}.lokr_w2") or shapes.get(f"{stem}.lokr_w2_b") or ()
        return shape[1] * other[1] if len(shape) > 1 and len(other) > 1 else 0
    return 0


def _sides(shapes: Shapes) -> set[int]:
    return {shape[1] for name, shape in shapes.items() if name.endswith(_IN) and len(shape) >= 2}


def _by_metadata(metadata: Mapping[str, str]) -> str:
    said = metadata.get("ss_base_model_version", "") or metadata.get("modelspec.architecture", "")
    said = said.lower()
    return next((family for start, family in _BASES.items() if said.startswith(start)), "")


def _by_encoder(shapes: Shapes, flat: Mapping[str, str]) -> str:
    """A change to the text encoder alone. SDXL's first one is as wide as SD 1.x's, but its trainers number them."""
    if _any(flat, "lora_te1_"):
        return "sdxl"
    for plain, name in flat.items():
        if "self_attn" in plain and _inputs(shapes, name) in (768, 1024):
            return WIDTHS[_inputs(shapes, name)]
    return ""


def _any(flat: Mapping[str, str], *parts: str) -> bool:
    return any(part in plain for plain in flat for part in parts)
