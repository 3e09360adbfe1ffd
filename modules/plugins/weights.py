"""Weight files that steer a denoiser, read with the library's checks; what computes is loaded on use.

What looks at headers alone (`check_control`, `features_of`, `check_clip_vision`) needs no torch: the page's part may use
it, as `check_request` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # some of it needs torch
    from modules.library.clip_vision import VisionFile
    from modules.library.control_file import ControlFile, Reads
    from modules.library.ip_adapter import IPAdapter

__all__ = [
    "ControlFile",
    "IPAdapter",
    "Reads",
    "VisionFile",
    "check_clip_vision",
    "check_control",
    "cross_attention",
    "features_of",
    "load_clip_vision",
    "load_controlnet",
    "load_ip_adapter",
    "load_t2i_adapter",
]

Device = Any
"""`torch.device`"""
Dtype = Any
"""`torch.dtype`"""


def check_control(path: Path, family: str) -> ControlFile:
    """Read the header of a file that is to steer a model of `family`; no weights are read.

    Raises:
        ModelFileError: it is damaged, of another kind, or for another family; says what was found.
    """
    from modules.library import control_file

    return control_file.check_control(path, family)


def features_of(file: ControlFile) -> tuple[Reads, int]:
    """What an IP-Adapter reads of a picture (`image_embeds` or `hidden_states`), and how wide those features are.

    Raises:
        ModelFileError: it is of another kind (FaceID), or damaged.
    """
    from modules.library import control_file

    return control_file.features_of(file)


def load_controlnet(
    file: ControlFile, unet: Any, device: Device, dtype: Dtype, *, pooled: bool = False
) -> Any:
    """diffusers' ControlNetModel for a denoiser, frozen.

    Args:
        pooled: what it gives is averaged over the picture, as the one trained on shuffled pictures wants it.

    Raises:
        ModelFileError: a tensor is missing or left over, or the denoiser is another one.
    """
    from modules.library import control

    return control.load_controlnet(file, unet, device, dtype, pooled=pooled)


def load_t2i_adapter(
    file: ControlFile, unet: Any, family: str, device: Device, dtype: Dtype
) -> Any:
    """diffusers' T2IAdapter for a denoiser, frozen.

    Raises:
        ModelFileError: a tensor is missing or left over, or the denoiser is another one.
    """
    from modules.library import control

    return control.load_t2i_adapter(file, unet, family, device, dtype)


def load_ip_adapter(file: ControlFile, unet: Any, device: Device, dtype: Dtype) -> IPAdapter:
    """An IP-Adapter for a denoiser, frozen.

    Raises:
        ModelFileError: it is of another kind (FaceID), a tensor is missing or left over, or the denoiser is another one.
    """
    from modules.library import ip_adapter

    return ip_adapter.load_ip_adapter(file, unet, device, dtype)


def cross_attention(unet: Any) -> list[tuple[str, Any]]:
    """The cross-attention layers of a denoiser by name, in the order of `IPAdapter.pairs`."""
    from modules.library import ip_adapter

    return ip_adapter.cross_attention(unet)


def check_clip_vision(path: Path) -> VisionFile:
    """Read the header of an image encoder; no weights are read.

    Raises:
        ModelFileError: it is damaged or no image encoder, or its size is not known and `config.json` does not say.
    """
    from modules.library import clip_vision

    return clip_vision.check_clip_vision(path)


def load_clip_vision(file: VisionFile, device: Device, dtype: Dtype) -> Any:
    """transformers' CLIPVisionModelWithProjection, frozen.

    Raises:
        ModelFileError: a tensor is missing, left over or of another shape.
    """
    from modules.library import clip_vision

    return clip_vision.load_clip_vision(file, device, dtype)
