"""The denoiser's own scale, for models trained on sqrt(a) * clean + sqrt(1 - a) * noise: in and out of sigma.

Families of this kind take these functions as theirs. With x = clean + sigma * noise, a is 1 / (1 + sigma**2).
"""

import math

import torch

from modules.diffusion.levels import Levels, from_config
from modules.diffusion.parts import Parts


def levels(parts: Parts) -> Levels:
    """The noise levels that the model was trained on."""
    return from_config(parts.scheduler_config)


def model_input(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """What the denoiser sees of `x` = clean + sigma * noise."""
    return x / math.sqrt(1 + sigma**2)


def to_denoised(parts: Parts, x: torch.Tensor, answer: torch.Tensor, sigma: float) -> torch.Tensor:
    """The clean latents that the denoiser's `answer` to `x` stands for.

    It predicts the noise, the velocity (Salimans and Ho, arXiv 2202.00512) or the clean latents themselves.
    """
    match parts.scheduler_config.get("prediction_type", "epsilon"):
        case "v_prediction":
            return x / (1 + sigma**2) - answer * (sigma / math.sqrt(1 + sigma**2))
        case "sample":
            return answer
        case _:
            return x - answer * sigma
