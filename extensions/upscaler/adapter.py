"""Upscaler models: read by spandrel, which knows their architecture by the names and shapes of the weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from spandrel import (
    MAIN_REGISTRY,
    ImageModelDescriptor,
    ModelTiling,
    UnsupportedModelError,
    canonicalize_state_dict,
)

from modules.plugins import Host, problem
from modules.plugins.adapters import compute_device, safe_weights

from .sizes import check_between
from .tiles import Pixels, Tiling, in_tiles

Check = Callable[[float], None]
_WRAPPED = ("params_ema.", "params.", "params-ema.", "state_dict.", "model_state_dict.", "g_ema.")
"""What training programs put around the weights, as the names in the converted file begin."""
_PASSES = 3


@dataclass(frozen=True)
class Model:
    """A model that is ready to work."""

    name: str
    descriptor: Any
    device: torch.device
    dtype: torch.dtype

    @property
    def factor(self) -> int:
        """How many times it enlarges."""
        return int(self.descriptor.scale)

    @property
    def for_faces(self) -> bool:
        """Takes one face of 512 x 512 pixels."""
        return bool(self.descriptor.purpose == "FaceSR")

    def piece(self, pixels: Pixels) -> Pixels:
        """One piece, (h, w, 3) in [0, 1], through the model.

        A model of one channel sees red, green and blue one after the other; of one of four the fourth is 1.
        """
        given = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        given = given.to(self.device, self.dtype)
        channels = self.descriptor.input_channels
        with torch.inference_mode():
            if channels == 1:
                planes = [self.descriptor(given[:, at : at + 1])[:, :1] for at in range(3)]
                made = torch.cat(planes, 1)
            elif channels == 4:
                made = self.descriptor(torch.cat([given, torch.ones_like(given[:, :1])], 1))[:, :3]
            else:
                made = self.descriptor(given)
        if made.shape[1] == 1:
            made = made.expand(-1, 3, -1, -1)
        found: Pixels = made[0].permute(1, 2, 0).float().cpu().numpy()
        return found

    def enlarge(self, image: Image.Image, check: Check) -> Image.Image:
        """An RGB picture `factor` times as large, in tiles where the model allows it."""
        check_between(*image.size, self.factor, self.name)
        tiling = self.descriptor.tiling
        longest = max(image.size)
        if tiling is ModelTiling.INTERNAL:
            sizes = Tiling(longest * 2 + 200)
        elif tiling is ModelTiling.DISCOURAGED:
            sizes = Tiling(1024, 192, 48)
        else:
            sizes = Tiling()
        made = in_tiles(np.asarray(image), self.factor, self.piece, check, sizes)
        return Image.fromarray(made)


def load_model(host: Host, name: str, path: Path) -> Model:
    """Read a file of models/upscalers.

    Raises:
        UserError: it is damaged, wants to run something, or is no upscaler that spandrel knows.
    """
    try:
        weights = load_file(safe_weights(host, path))
    except (SafetensorError, OSError, ValueError) as error:
        raise problem(
            f"“{path.name}” cannot be read as a safetensors file: {error}",
            f"无法将“{path.name}”作为 safetensors 文件读取：{error}",
        ) from error
    try:
        descriptor: Any = MAIN_REGISTRY.load(canonicalize_state_dict(_unwrapped(weights)))
    except UnsupportedModelError as error:
        raise problem(
            f"“{path.name}” is no upscaler of an architecture that spandrel knows "
            f"({len(list(MAIN_REGISTRY))} of them). A checkpoint or a LoRA belongs into another folder.",
            f"“{path.name}”不是 spandrel 所支持架构（共 {len(list(MAIN_REGISTRY))} 种）的放大模型。"
            "主模型或 LoRA 请放入对应文件夹。",
        ) from error
    except (KeyError, RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise problem(
            f"“{path.name}” looks like an upscaler, but its weights do not fit together: {str(error)[:300]}",
            f"“{path.name}”看似放大模型，但权重不完整或不匹配：{str(error)[:300]}",
        ) from error
    if not isinstance(descriptor, ImageModelDescriptor):
        kind = descriptor.architecture.name
        raise problem(
            f"“{path.name}” ({kind}) needs a mask beside the picture: it does not enlarge.",
            f"“{path.name}”（{kind}）需要图片之外的蒙版，不能用于放大。",
        )
    device = compute_device(host)
    half = device.type == "cuda" and descriptor.supports_half
    dtype = torch.float16 if half else torch.float32
    descriptor.eval()
    descriptor.model.requires_grad_(False)
    descriptor.to(device, dtype)
    return Model(name, descriptor, device, dtype)


def to_size(model: Model, image: Image.Image, width: int, height: int, check: Check) -> Image.Image:
    """An RGB picture at exactly `width` x `height`: the model as often as needed, what is too large shrunk.

    Raises:
        UserError: on the way there would be too many pixels.
    """
    if model.for_faces:
        raise problem(
            f"“{model.name}” repairs faces; choose it under face restoration.",
            f"“{model.name}”用于修复人脸；请在“人脸修复”中选择它。",
        )
    passes = _passes(model.factor, image.size, (width, height))
    for number in range(passes):
        image = model.enlarge(image, lambda share, at=number: check((at + share) / passes))  # type: ignore[misc]
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _passes(factor: int, size: tuple[int, int], wanted: tuple[int, int]) -> int:
    if factor == 1:
        return 1
    ratio, passes, reached = max(wanted[0] / size[0], wanted[1] / size[1]), 1, float(factor)
    while reached < ratio * 0.999 and passes < _PASSES:
        passes, reached = passes + 1, reached * factor
    return passes


def face(model: Model, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A face, (512, 512, 3), restored; at the same size whatever the model makes.

    Raises:
        UserError: the model is none for faces.
    """
    if not model.for_faces:
        raise problem(
            f"“{model.name}” is no model for faces; such are GFPGAN and RestoreFormer.",
            f"“{model.name}”不是人脸模型；可用的有 GFPGAN、RestoreFormer 等。",
        )
    made = model.piece(pixels.astype(np.float32) / np.float32(255))
    restored = Image.fromarray((made.clip(0, 1) * 255).round().astype(np.uint8))
    if restored.size != (pixels.shape[1], pixels.shape[0]):
        restored = restored.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.LANCZOS)
    return np.asarray(restored)


def _unwrapped(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of the network; an averaged copy is preferred to the last one."""
    for prefix in _WRAPPED:
        inner = {
            key.removeprefix(prefix): value
            for key, value in weights.items()
            if key.startswith(prefix)
        }
        if inner:
            return inner
    return weights
