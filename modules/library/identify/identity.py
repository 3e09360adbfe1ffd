"""What a file turned out to be."""

from collections.abc import Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Identity:
    """Read off the names and shapes of a file's tensors, never off its name.

    Words that a header leaves open are "": a VAE of SD 1.x cannot be told from one of SDXL.
    """

    kind: str
    """checkpoint (denoiser and more), denoiser (alone), text_encoder, vae, lora, controlnet, t2i_adapter,
    ip_adapter, embedding, upscaler, or unknown."""
    family: str = ""
    """sd1, sd2, sdxl, sdxl_refiner, sd3, sd35_medium, sd35_large, flux1, flux2, z_image, qwen_image …"""
    layout: str = ""
    """How the tensors are called: ldm, diffusers, kohya, peft …"""
    variant: str = ""
    """What is special: inpaint, edit, depth, upscale; dev or schnell; lora, loha, lokr, dora …"""
    prediction_type: str | None = None
    """Where the file says it: epsilon or v_prediction."""
    zero_snr: bool = False
    """Trained down to a signal of zero (arXiv 2305.08891): noise levels are to be rescaled."""
    holds: frozenset[str] = frozenset()
    """Of a checkpoint: which of unet, unet_ema, vae, text_encoder, text_encoder_2 it has."""
    side: int | None = None
    """Pixels that it was made for, where the file says so."""


UNKNOWN = Identity("unknown")


def width(shapes: Shapes, *ends: str) -> int:
    """The last side of the first tensor whose name ends so; 0 if there is none."""
    for name in sorted(shapes):
        if name.endswith(ends) and shapes[name]:
            return shapes[name][-1]
    return 0


def blocks(shapes: Shapes, stem: str) -> int:
    """How many numbered blocks there are: with the stem "a.", one more than the largest number in "a.<number>."."""
    most = -1
    for name in shapes:
        if name.startswith(stem):
            number = name[len(stem) :].split(".", 1)[0]
            most = max(most, int(number)) if number.isdecimal() and len(number) < 6 else most
    return most + 1
