"""Autoencoders that come alone."""

from collections.abc import Mapping

from modules.library.identify.identity import Identity, Shapes

_LATENTS = {4: "", 16: "", 32: "flux2"}
PREFIXES = ("", "first_stage_model.", "vae.")


def identify(shapes: Shapes, metadata: Mapping[str, str]) -> Identity | None:
    """An autoencoder; `variant` says how many channels its latents have ("4", "16", …), "tiny" or "wan" its kind."""
    for prefix in PREFIXES:
        for layout, probe in (
            ("ldm", "decoder.mid.block_1.conv1.weight"),
            ("diffusers", "decoder.mid_block.resnets.0.conv1.weight"),
        ):
            first = shapes.get(f"{prefix}decoder.conv_in.weight", ())
            if f"{prefix}{probe}" in shapes and len(first) == 4:
                return Identity(
                    "vae", family=_LATENTS.get(first[1], ""), layout=layout, variant=str(first[1])
                )
    if "decoder.middle.0.residual.0.gamma" in shapes:
        return Identity("vae", family="qwen_image", layout="ldm", variant="wan")
    if "decoder.up_blocks.0.upsamplers.0.resample.1.weight" in shapes:
        return Identity("vae", family="qwen_image", layout="diffusers", variant="wan")
    for layout, decoder, encoder in (
        ("diffusers", "decoder.layers.0.weight", "encoder.layers.0.weight"),
        ("original", "decoder.1.weight", "encoder.0.weight"),
        ("original", "taesd_decoder.1.weight", "taesd_encoder.0.weight"),
    ):
        if len(shapes.get(decoder, ())) == 4 and len(shapes.get(encoder, ())) == 4:
            return Identity("vae", layout=layout, variant="tiny")
    return None
