"""Classifier-free guidance (Ho and Salimans, arXiv 2207.12598)."""

import torch


def combine(prediction: torch.Tensor, copies: int, cfg_scale: float) -> torch.Tensor:
    """From the denoiser's (copies * n, ...) answer, the negative half first, to the guided (n, ...) one."""
    if copies == 1:
        return prediction
    negative, positive = prediction.chunk(2)
    return negative + cfg_scale * (positive - negative)
