"""Reading CLIP image encoders: transformers' layout, a folder with `config.json`, or a file of a size that is known.

Sizes are read off the tensors; `config.json` says what no tensor tells: heads, activation, epsilon.
Radford et al., arXiv 2103.00020.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.errors import ModelFileError
from modules.library.headers import read_header
from modules.library.layouts import diffusers

if TYPE_CHECKING:  # the page's process looks at headers too, and has no torch
    import torch

_EMBEDDINGS = "vision_model.embeddings."
_KNOWN: Mapping[int, tuple[int, str]] = {
    768: (12, "quick_gelu"),  # ViT-B of OpenAI
    1024: (16, "quick_gelu"),  # ViT-L/14 of OpenAI
    1280: (16, "gelu"),  # ViT-H/14 of LAION
    1664: (16, "gelu"),  # ViT-bigG/14 of LAION
}
_MOST_CONFIG = 1_000_000


@dataclass(frozen=True)
class VisionFile:
    """An image encoder whose header was read."""

    path: Path
    config: Mapping[str, Any]
    """transformers' `CLIPVisionConfig`."""

    @property
    def width(self) -> int:
        """Of its hidden states."""
        return int(self.config["hidden_size"])

    @property
    def projected(self) -> int:
        """Of its embedding."""
        return int(self.config["projection_dim"])

    @property
    def side(self) -> int:
        """Pixels of the square that it sees."""
        return int(self.config["image_size"])


def check_clip_vision(path: Path) -> VisionFile:
    """Read the header of a file, and the `config.json` beside it.

    Raises:
        ModelFileError: it is damaged or no image encoder, or its size is not known and `config.json` does not say.
    """
    shapes = read_header(path).shapes
    try:
        patch = shapes[f"{_EMBEDDINGS}patch_embedding.weight"]
        places, width = shapes[f"{_EMBEDDINGS}position_embedding.weight"]
        inner = shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0]
        projected = shapes["visual_projection.weight"][0]
        size = patch[3]
    except (KeyError, IndexError, ValueError) as error:
        raise ModelFileError("error.clip_vision.kind", file=path) from error
    heads, activation, epsilon = _told(path, width)
    layers = {
        found.group(1)
        for name in shapes
        if (found := re.match(r"vision_model\.encoder\.layers\.(\d+)\.", name))
    }
    config = {
        "hidden_size": width,
        "intermediate_size": inner,
        "projection_dim": projected,
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
        "num_channels": patch[1],
        "image_size": isqrt(places - 1) * size,
        "patch_size": size,
        "hidden_act": activation,
        "layer_norm_eps": epsilon,
    }
    return VisionFile(path, config)


def load_clip_vision(file: VisionFile, device: torch.device, dtype: torch.dtype) -> Any:
    """transformers' CLIPVisionModelWithProjection, frozen.

    Raises:
        ModelFileError: a tensor is missing, left over or of another shape.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from modules.library.weights import Source, build, fill

    model = build(lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**file.config)))
    return fill(
        model,
        Source.of(file.path, [file.path]),
        diffusers,
        device,
        dtype,
        own=("vision_model.", "visual_projection."),  # beside a text encoder, in whole CLIP models
        unused=lambda name: name.endswith(".position_ids"),
    )


def _told(path: Path, width: int) -> tuple[int, str, float]:
    """Heads, activation and epsilon."""
    beside = path.with_name("config.json")
    given: Any = {}
    if beside.is_file():
        try:
            if beside.stat().st_size > _MOST_CONFIG:
                raise ValueError(f"{beside.stat().st_size} bytes")
            given = json.loads(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ModelFileError("error.clip_vision.config", file=path, found=error) from error
    inner = given.get("vision_config", given) if isinstance(given, dict) else None
    if not isinstance(inner, dict):
        raise ModelFileError("error.clip_vision.config", file=path, found=type(given).__name__)
    known = _KNOWN.get(width, (0, "quick_gelu"))
    heads = inner.get("num_attention_heads", known[0])
    activation = inner.get("hidden_act", known[1])
    epsilon = inner.get("layer_norm_eps", 1e-5)
    sound = (
        type(heads) is int
        and heads > 0
        and width % heads == 0
        and activation in ("gelu", "quick_gelu")
        and isinstance(epsilon, float)
        and 0 < epsilon < 1
    )
    if not sound:
        found = f"num_attention_heads {heads}, hidden_act {activation}, layer_norm_eps {epsilon}"
        raise ModelFileError("error.clip_vision.config", file=path, found=found[:300])
    return heads, activation, epsilon
