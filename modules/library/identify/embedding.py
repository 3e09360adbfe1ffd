"""Textual inversions: a few vectors of a text encoder's width, under one of four names."""

from collections.abc import Mapping

from modules.library.identify.identity import Identity, Shapes

WIDTHS = {768: "sd1", 1024: "sd2", 1280: "sdxl_refiner"}
MOST_TENSORS = 8
MOST_TOKENS = 1024
PAIR = ("clip_l", "clip_g")


def identify(shapes: Shapes, metadata: Mapping[str, str]) -> Identity | None:
    """An embedding; its family by the widths of its vectors."""
    vectors = {name: shape for name, shape in shapes.items() if vector(name, shape)}
    if not vectors or len(vectors) > MOST_TENSORS:
        return None
    if set(PAIR) <= vectors.keys():
        sides = tuple(vectors[name][-1] for name in PAIR)
        family = "sdxl" if sides == (768, 1280) else ""
        return Identity("embedding", family="sd3" if "t5xxl" in vectors else family, layout="pair")
    if "emb_params" in vectors:
        return _single(vectors, "emb_params", "a1111")
    string = next((name for name in vectors if name.startswith("string_to_param.")), None)
    if string is not None:
        return _single(vectors, string, "a1111")
    # diffusers: the token is the name, so that nothing else may stand beside it.
    if len(shapes) == len(vectors) == 1:
        return _single(vectors, next(iter(vectors)), "diffusers")
    return None


def vector(name: str, shape: tuple[int, ...]) -> bool:
    """Whether this may be the vectors of an embedding."""
    return (
        1 <= len(shape) <= 2
        and shape[-1] in (*WIDTHS, 4096)
        and shape[0] <= max(MOST_TOKENS, shape[-1])
    )


def _single(vectors: Shapes, name: str, layout: str) -> Identity:
    return Identity("embedding", family=WIDTHS.get(vectors[name][-1], ""), layout=layout)
