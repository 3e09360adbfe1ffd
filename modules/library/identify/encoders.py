"""Text encoders that come alone, as the newer families are often shared."""

from collections.abc import Mapping

from modules.library.identify.identity import Identity, Shapes

_CLIP = {768: "clip_l", 1024: "clip_h", 1280: "clip_g"}
_T5 = {4096: "t5_xxl", 2048: "t5_xl", 1024: "t5_large", 768: "t5_base"}


def identify(shapes: Shapes, metadata: Mapping[str, str]) -> Identity | None:
    """A text encoder; `variant` says which."""
    for name in (
        "text_model.embeddings.token_embedding.weight",
        "embeddings.token_embedding.weight",
    ):
        if len(shapes.get(name, ())) == 2:
            found = _CLIP.get(shapes[name][1], "clip")
            return Identity("text_encoder", layout="transformers", variant=found)
    if len(shapes.get("token_embedding.weight", ())) == 2 and "ln_final.weight" in shapes:
        found = _CLIP.get(shapes["token_embedding.weight"][1], "clip")
        return Identity("text_encoder", layout="openclip", variant=found)
    query = shapes.get("encoder.block.0.layer.0.SelfAttention.q.weight", ())
    if len(query) == 2:
        return Identity("text_encoder", layout="transformers", variant=_T5.get(query[1], "t5"))
    words = shapes.get("model.embed_tokens.weight", ())
    if len(words) == 2 and "model.layers.0.self_attn.q_proj.weight" in shapes:
        return Identity("text_encoder", layout="transformers", variant="language_model")
    return None
