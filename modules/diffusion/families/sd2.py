"""Stable Diffusion 2.x: as 1.x, with OpenCLIP's text encoder; most of its models predict the velocity.

The last but one layer of the encoder is what the denoiser was trained on. Model files and folders are loaded without
the last layer, so that here the last one is the right one.
"""

from modules.diffusion.families.sd1 import encode
from modules.diffusion.families.shared import (
    decode,
    encode_images,
    latent_shape,
    predict,
    scale,
    to_images,
)
from modules.diffusion.noising import levels, model_input, to_denoised

__all__ = [
    "decode",
    "encode",
    "encode_images",
    "latent_shape",
    "levels",
    "model_input",
    "predict",
    "scale",
    "to_denoised",
    "to_images",
]
