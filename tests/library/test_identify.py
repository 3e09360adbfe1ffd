"""What a file is, by the names and shapes of its tensors alone."""

import json
from pathlib import Path

import pytest

from modules.library.identify import UNKNOWN, identify

HEADERS = Path(__file__).parent.parent / "fixtures" / "headers"


def header(name):
    data = json.loads((HEADERS / f"{name}.json").read_text(encoding="utf-8"))
    return {key: tuple(shape) for key, shape in data.items()}


def shapes(text):
    """`name 1 2 3` per line."""
    rows = [line.split() for line in text.strip().splitlines()]
    return {name: tuple(map(int, sides)) for name, *sides in rows}


def brief(found):
    return (found.kind, found.family, found.layout, found.variant)


# file: kind, family, layout, variant
STRIPPED = {
    "checkpoint_sd1": ("checkpoint", "sd1", "ldm", "base"),
    "checkpoint_sd2": ("checkpoint", "sd2", "ldm", "base"),
    "checkpoint_sdxl": ("checkpoint", "sdxl", "ldm", "base"),
    "checkpoint_sdxl_refiner": ("checkpoint", "sdxl_refiner", "ldm", "base"),
    "unet_diffusers_sd1": ("denoiser", "sd1", "diffusers", "base"),
    "unet_diffusers_sd2": ("denoiser", "sd2", "diffusers", "base"),
    "unet_diffusers_sdxl": ("denoiser", "sdxl", "diffusers", "base"),
    "unet_diffusers_sdxl_refiner": ("denoiser", "sdxl_refiner", "diffusers", "base"),
    "vae_ldm_sd1": ("vae", "", "ldm", "4"),
    "vae_ldm_sdxl": ("vae", "", "ldm", "4"),
    "vae_diffusers_sd1": ("vae", "", "diffusers", "4"),
    "vae_diffusers_flux1": ("vae", "", "diffusers", "16"),
    "vae_diffusers_tiny": ("vae", "", "diffusers", "tiny"),
    "transformer_diffusers_sd3": ("denoiser", "sd3", "diffusers", "base"),
    "transformer_diffusers_sd35_medium": ("denoiser", "sd35_medium", "diffusers", "base"),
    "transformer_diffusers_sd35_large": ("denoiser", "sd35_large", "diffusers", "base"),
    "transformer_diffusers_flux1_dev": ("denoiser", "flux1", "diffusers", "dev"),
    "transformer_diffusers_flux1_schnell": ("denoiser", "flux1", "diffusers", "schnell"),
    "transformer_diffusers_flux2": ("denoiser", "flux2", "diffusers", "dev"),
    "transformer_diffusers_qwen_image": ("denoiser", "qwen_image", "diffusers", "base"),
    "transformer_diffusers_z_image": ("denoiser", "z_image", "diffusers", "base"),
    "controlnet_diffusers_sd1": ("controlnet", "sd1", "diffusers", "controlnet"),
    "controlnet_diffusers_flux1": ("controlnet", "flux1", "diffusers", "controlnet"),
    "controlnet_diffusers_sd3": ("controlnet", "sd3", "diffusers", "controlnet"),
    "t2i_adapter_diffusers_sd1": ("t2i_adapter", "sd1", "diffusers", "full"),
    "t2i_adapter_diffusers_sdxl": ("t2i_adapter", "sdxl", "diffusers", "full"),
}


@pytest.mark.parametrize("name", STRIPPED)
def test_headers_of_whole_models(name):
    assert brief(identify(header(name))) == STRIPPED[name]


def test_every_stripped_header_is_tested():
    """Those of the other VAEs say the same as the ones that are."""
    there = {path.stem for path in HEADERS.glob("*.json")}
    twins = {"vae_ldm_sd2", "vae_ldm_sdxl_refiner", "vae_diffusers_sd2", "vae_diffusers_sdxl"}
    assert there - STRIPPED.keys() == twins | {"vae_diffusers_sdxl_refiner"}


def test_a_checkpoint_says_which_parts_it_holds():
    found = identify(header("checkpoint_sdxl"))
    assert found.holds == {"unet", "vae", "text_encoder", "text_encoder_2"}
    refiner = identify(header("checkpoint_sdxl_refiner"))
    assert refiner.holds == {"unet", "vae", "text_encoder_2"}
    without = {
        name: shape
        for name, shape in header("checkpoint_sd1").items()
        if not name.startswith("first_stage_model.")
    }
    assert identify(without).holds == {"unet", "text_encoder"}


@pytest.mark.parametrize(
    ("channels", "variant"), [(9, "inpaint"), (8, "edit"), (5, "depth"), (7, "upscale")]
)
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_special_denoisers(family, channels, variant):
    changed = header(f"checkpoint_{family}")
    first = "model.diffusion_model.input_blocks.0.0.weight"
    changed[first] = (changed[first][0], channels, 3, 3)
    assert brief(identify(changed))[1::2] == (family, variant)


def test_marks_and_metadata_of_a_checkpoint():
    plain = header("checkpoint_sdxl")
    assert identify(plain).prediction_type is None
    marked = identify({**plain, "v_pred": (), "ztsnr": ()})
    assert (marked.prediction_type, marked.zero_snr) == ("v_prediction", True)
    said = {"modelspec.prediction_type": "v", "modelspec.resolution": "768x768"}
    found = identify(header("checkpoint_sd2"), said)
    assert (found.prediction_type, found.side) == ("v_prediction", 768)
    base = identify(header("checkpoint_sd2"), {"modelspec.architecture": "stable-diffusion-v2-512"})
    assert base.prediction_type == "epsilon"
    for nonsense in ("", "0x0", "9" * 5000, "-5", "²²²", "1e3"):
        assert identify(plain, {"modelspec.resolution": nonsense}).side is None


ORIGINAL = {
    "sd3": (
        """
        model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight 4608 1536
        model.diffusion_model.joint_blocks.23.x_block.attn.qkv.weight 4608 1536
        """,
        ("denoiser", "sd3", "ldm", "base"),
    ),
    "sd35_medium": (
        """
        model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight 4608 1536
        model.diffusion_model.joint_blocks.0.x_block.attn2.qkv.weight 4608 1536
        model.diffusion_model.joint_blocks.23.x_block.attn.qkv.weight 4608 1536
        first_stage_model.decoder.conv_in.weight 512 16 3 3
        """,
        ("checkpoint", "sd35_medium", "ldm", "base"),
    ),
    "sd35_large": (
        """
        model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight 7296 2432
        model.diffusion_model.joint_blocks.37.x_block.attn.qkv.weight 7296 2432
        """,
        ("denoiser", "sd35_large", "ldm", "base"),
    ),
    "flux1 dev": (
        """
        double_blocks.0.img_attn.norm.key_norm.scale 128
        guidance_in.in_layer.weight 3072 256
        img_in.weight 3072 64
        """,
        ("denoiser", "flux1", "ldm", "dev"),
    ),
    "flux1 schnell in a checkpoint": (
        """
        model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale 128
        model.diffusion_model.img_in.weight 3072 64
        text_encoders.clip_l.transformer.text_model.final_layer_norm.weight 768
        vae.decoder.conv_in.weight 512 16 3 3
        """,
        ("checkpoint", "flux1", "ldm", "schnell"),
    ),
    "flux1 fill": (
        """
        double_blocks.0.img_attn.norm.key_norm.scale 128
        guidance_in.in_layer.weight 3072 256
        img_in.weight 3072 384
        """,
        ("denoiser", "flux1", "ldm", "fill"),
    ),
    "flux2": (
        """
        double_blocks.0.img_attn.norm.key_norm.scale 128
        single_stream_modulation.lin.weight 18432 6144
        guidance_in.in_layer.weight 6144 256
        """,
        ("denoiser", "flux2", "ldm", "dev"),
    ),
    "flux2 klein": (
        """
        double_blocks.0.img_attn.norm.key_norm.scale 128
        single_stream_modulation.lin.weight 9216 3072
        """,
        ("denoiser", "flux2", "ldm", "klein"),
    ),
    "z_image": (
        """
        model.diffusion_model.layers.0.adaLN_modulation.0.weight 15360 256
        model.diffusion_model.cap_embedder.0.weight 2560
        """,
        ("denoiser", "z_image", "ldm", "base"),
    ),
    "qwen_image": (
        """
        model.diffusion_model.transformer_blocks.0.img_mod.1.weight 18432 3072
        model.diffusion_model.txt_norm.weight 3584
        """,
        ("denoiser", "qwen_image", "diffusers", "base"),
    ),
    "chroma": (
        """
        double_blocks.0.img_attn.norm.key_norm.scale 128
        distilled_guidance_layer.in_proj.weight 5120 64
        """,
        ("denoiser", "chroma", "ldm", "base"),
    ),
}


@pytest.mark.parametrize("name", ORIGINAL)
def test_newer_families_in_their_original_layout(name):
    text, expected = ORIGINAL[name]
    assert brief(identify(shapes(text))) == expected


ATTENTION = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
DOTTED = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
WIDTHS = {"sd1": 768, "sd2": 1024, "sdxl": 2048}


def lora_dialects(width):
    """The cross-attention's key matrix, 320 x `width`, changed in every dialect for UNets."""
    down, up = f"4 {width}", "320 4"
    kohya = f"lora_unet_{ATTENTION}"
    return {
        (
            "kohya",
            "lora",
        ): f"{kohya}.lora_down.weight {down}\n{kohya}.lora_up.weight {up}\n{kohya}.alpha",
        ("kohya", "dora"): (
            f"{kohya}.lora_down.weight {down}\n{kohya}.lora_up.weight {up}\n{kohya}.dora_scale 1 {width}"
        ),
        ("kohya", "loha"): (
            f"{kohya}.hada_w1_a 320 4\n{kohya}.hada_w1_b {down}\n{kohya}.hada_w2_a 320 4\n{kohya}.hada_w2_b {down}"
        ),
        ("kohya", "lokr"): f"{kohya}.lokr_w1 16 16\n{kohya}.lokr_w2 20 {width // 16}",
        ("kohya", "full"): f"{kohya}.diff 320 {width}",
        ("peft", "lora"): (
            f"base_model.model.{DOTTED}.lora_A.weight {down}\nbase_model.model.{DOTTED}.lora_B.weight {up}"
        ),
        (
            "diffusers",
            "lora",
        ): f"unet.{DOTTED}.lora_A.weight {down}\nunet.{DOTTED}.lora_B.weight {up}",
        ("diffusers", "dora"): (
            f"unet.{DOTTED}.lora_A.weight {down}\nunet.{DOTTED}.lora_B.weight {up}\n"
            f"unet.{DOTTED}.lora_magnitude_vector 320"
        ),
        ("diffusers_old", "lora"): (
            f"unet.{DOTTED.replace('.to_k', '.processor.to_k_lora')}.down.weight {down}\n"
            f"unet.{DOTTED.replace('.to_k', '.processor.to_k_lora')}.up.weight {up}"
        ),
        ("onetrainer", "lora"): (
            f"{kohya}.lora_down.weight {down}\n{kohya}.lora_up.weight {up}\nbundle_emb.word.string_to_param 2 768"
        ),
    }


@pytest.mark.parametrize("family", WIDTHS)
@pytest.mark.parametrize("dialect", lora_dialects(768))
def test_loras_of_unets_in_every_dialect(family, dialect):
    found = identify(shapes(lora_dialects(WIDTHS[family])[dialect]))
    assert brief(found) == ("lora", family, *dialect)


LORAS = {
    "sdxl by its second encoder": (
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight 4 1280",
        ("sdxl", "kohya"),
    ),
    "sd1 text encoder alone": (
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight 4 768",
        ("sd1", "kohya"),
    ),
    "sd2 text encoder alone": (
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight 4 1024",
        ("sd2", "kohya"),
    ),
    "sdxl by its depth": (
        "lora_unet_middle_block_1_transformer_blocks_9_ff_net_2.lora_down.weight 4 5120",
        ("sdxl", "kohya"),
    ),
    "flux1 by kohya": (
        """
        lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight 16 3072
        lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight 9216 16
        lora_unet_single_blocks_0_linear1.lora_up.weight 21504 16
        lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight 16 768
        """,
        ("flux1", "kohya"),
    ),
    "flux1 by diffusers": (
        """
        transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight 16 3072
        transformer.transformer_blocks.0.attn.to_k.lora_A.weight 16 3072
        """,
        ("flux1", "diffusers"),
    ),
    "flux1 by xlabs": (
        "double_blocks.0.processor.qkv_lora1.down.weight 16 3072",
        ("flux1", "xlabs"),
    ),
    "flux2": (
        """
        diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight 16 6144
        diffusion_model.single_blocks.0.linear1.lora_B.weight 55296 16
        """,
        ("flux2", "original"),
    ),
    "flux2 klein": (
        """
        diffusion_model.single_blocks.0.linear1.lora_A.weight 16 3072
        diffusion_model.single_blocks.0.linear1.lora_B.weight 27648 16
        """,
        ("flux2", "original"),
    ),
    "sd3 by kohya": (
        "lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight 4 1536",
        ("sd3", "kohya"),
    ),
    "sd35_large by diffusers": (
        "transformer.transformer_blocks.0.attn.to_k.lora_A.weight 4 2432",
        ("sd35_large", "diffusers"),
    ),
    "qwen_image": (
        "transformer_blocks.0.img_mlp.net.2.lora_A.weight 16 12288",
        ("qwen_image", "original"),
    ),
    "z_image": (
        "diffusion_model.layers.0.attention.to_q.lora_A.weight 16 3840",
        ("z_image", "original"),
    ),
}


@pytest.mark.parametrize("name", LORAS)
def test_loras_of_other_models_and_parts(name):
    text, (family, dialect) = LORAS[name]
    found = identify(shapes(text))
    assert (found.kind, found.family, found.layout) == ("lora", family, dialect)


def test_metadata_settles_what_a_lora_leaves_open():
    conv = shapes("lora_unet_conv_in.lora_down.weight 4 4 3 3")
    assert identify(conv).family == ""
    assert identify(conv, {"ss_base_model_version": "sdxl_base_v1-0"}).family == "sdxl"
    sure = shapes(lora_dialects(768)["kohya", "lora"])
    assert identify(sure, {"ss_base_model_version": "sdxl_base_v1-0"}).family == "sd1"


OTHERS = {
    "controlnet in the original layout": (
        """
        control_model.input_hint_block.0.weight 16 3 3 3
        control_model.zero_convs.0.0.weight 320 320 1 1
        control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight 320 768
        """,
        ("controlnet", "sd1", "ldm", "controlnet"),
    ),
    "control-lora": (
        """
        lora_controlnet
        input_hint_block.0.weight 16 3 3 3
        label_emb.0.0.weight 1280 2816
        input_blocks.1.0.in_layers.2.down 128 320 3 3
        input_blocks.1.0.in_layers.2.up 320 128
        """,
        ("controlnet", "sdxl", "ldm", "control_lora"),
    ),
    "lllite": (
        "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight 16 640",
        ("controlnet", "sdxl", "kohya", "lllite"),
    ),
    "controlnet union": (
        """
        controlnet_cond_embedding.conv_in.weight 16 3 3 3
        control_add_embedding.linear_1.weight 1280 2048
        add_embedding.linear_1.weight 1280 2816
        """,
        ("controlnet", "sdxl", "diffusers", "union"),
    ),
    "t2i-adapter in the original layout": (
        "body.0.block1.weight 320 320 3 3\nconv_in.weight 320 192 3 3",
        ("t2i_adapter", "sd1", "ldm", "full"),
    ),
    "ip-adapter": (
        "image_proj.proj.weight 3072 1024\nip_adapter.1.to_k_ip.weight 320 768",
        ("ip_adapter", "sd1", "original", "base"),
    ),
    "ip-adapter plus sdxl": (
        "image_proj.latents 1 16 1280\nip_adapter.1.to_k_ip.weight 640 2048",
        ("ip_adapter", "sdxl", "original", "plus"),
    ),
    "embedding": ("emb_params 4 768", ("embedding", "sd1", "a1111", "")),
    "embedding of sd2": ("emb_params 1 1024", ("embedding", "sd2", "a1111", "")),
    "embedding of sdxl": ("clip_g 2 1280\nclip_l 2 768", ("embedding", "sdxl", "pair", "")),
    "converted embedding": ("string_to_param.* 3 768", ("embedding", "sd1", "a1111", "")),
    "embedding of diffusers": ("<cat-toy> 768", ("embedding", "sd1", "diffusers", "")),
    "esrgan": (
        "model.0.weight 64 3 3 3\nmodel.1.sub.0.RDB1.conv1.0.weight 32 64 3 3",
        ("upscaler", "", "", "esrgan"),
    ),
    "real-esrgan": (
        "conv_first.weight 64 3 3 3\nbody.0.rdb1.conv1.weight 32 64 3 3",
        ("upscaler", "", "", "esrgan"),
    ),
    "compact": (
        "params.body.0.weight 64 3 3 3\nparams.body.1.weight 64\nparams.body.2.weight 64 64 3 3",
        ("upscaler", "", "", "compact"),
    ),
    "swinir": (
        """
        params_ema.conv_first.weight 180 3 3 3
        params_ema.layers.0.residual_group.blocks.0.attn.qkv.weight 540 180
        """,
        ("upscaler", "", "", "swinir"),
    ),
    "clip": (
        "text_model.embeddings.token_embedding.weight 49408 768",
        ("text_encoder", "", "transformers", "clip_l"),
    ),
    "t5": (
        "encoder.block.0.layer.0.SelfAttention.q.weight 4096 4096",
        ("text_encoder", "", "transformers", "t5_xxl"),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds(name):
    text, expected = OTHERS[name]
    assert brief(identify(shapes(text))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a 1",
        "weight 3 3\nbias 3",
        "model.diffusion_model.x 1",
        "decoder.conv_in.weight 512 4 3 3",
        "input_blocks.0.0.weight",
        "joint_blocks.99999999999999999999.x 1",
        "blocks.0.weight 768 768\nblocks.1.weight 768 768",
    ],
)
def test_what_nobody_knows_is_unknown(text):
    assert identify(shapes(text)) == UNKNOWN


def test_names_of_files_play_no_part():
    assert identify({}) == UNKNOWN
