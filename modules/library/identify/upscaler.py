"""Networks that enlarge pictures: the layouts of the common architectures (spandrel, which loads them, knows more)."""

from collections.abc import Mapping

from modules.library.identify.identity import Identity, Shapes

# Tensors that only this architecture has, all of them.
_ARCHITECTURES = (
    ("esrgan", ("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight")),
    ("esrgan", ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight")),
    ("esrgan", ("conv_first.weight", "body.0.rdb1.conv1.weight")),
    ("hat", ("conv_first.weight", "layers.0.residual_group.overlap_attn.qkv.weight")),
    ("swinir", ("conv_first.weight", "layers.0.residual_group.blocks.0.attn.qkv.weight")),
    ("dat", ("conv_first.weight", "layers.0.blocks.0.attn.qkv.weight")),
    ("span", ("conv_1.sk.weight", "block_1.c1_r.sk.weight")),
    ("srformer", ("conv_first.weight", "layers.0.residual_group.blocks.0.attn.kv.weight")),
    ("omnisr", ("input.weight", "residual_layer.0.residual_layer.0.layer.0.fn.0.weight")),
    ("plksr", ("feats.0.weight", "feats.1.channel_mixer.0.weight")),
    ("realplksr", ("feats.0.weight", "feats.1.channe_mixer.0.weight")),
    ("atd", ("conv_first.weight", "layers.0.residual_group.td")),
    ("scunet", ("m_head.0.weight", "m_tail.0.weight")),
    ("compact", ("body.0.weight", "body.1.weight", "body.2.weight")),
)
_PREFIXES = (
    "",
    "params_ema.",
    "params.",
    "params-ema.",
    "model.",
    "module.",
    "netG.",
    "generator.",
)


def identify(shapes: Shapes, metadata: Mapping[str, str]) -> Identity | None:
    """An upscaler; `variant` is its architecture."""
    for prefix in _PREFIXES:
        for architecture, names in _ARCHITECTURES:
            if all(prefix + name in shapes for name in names) and (
                architecture != "compact" or _prelu(shapes, prefix)
            ):
                return Identity("upscaler", variant=architecture)
    return None


def _prelu(shapes: Shapes, prefix: str) -> bool:
    """Real-ESRGAN's compact network: convolutions, each followed by one slope per channel."""
    first, second = shapes[f"{prefix}body.0.weight"], shapes[f"{prefix}body.1.weight"]
    return len(first) == 4 and second == first[:1] and first[1] == 3
