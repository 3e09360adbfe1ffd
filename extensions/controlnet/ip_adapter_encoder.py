"""The image encoders of IP-Adapters: which one a file needs, and what it makes of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from modules.plugins import Host, ModelKind, UserError, problem
from modules.plugins.adapters import Parts
from modules.plugins.weights import check_clip_vision, load_clip_vision

from .files import VISION

if TYPE_CHECKING:
    from modules.plugins.weights import IPAdapter, VisionFile

OTHER = ModelKind("image_encoder", "Image encoder", "图像编码器")
"""The folder's name in the repositories of IP-Adapters."""
MOST_KEPT = 16
Key = tuple[object, ...]


class Encoders:
    """Reads an encoder when a picture is new, and keeps the last `MOST_KEPT` pictures' features instead of it.

    ViT-H has 2.5 GB in single precision; the features of a picture have 1.3 MB at most.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._kept: dict[Key, tuple[torch.Tensor, torch.Tensor]] = {}

    def features(
        self, name: str, image: Image.Image, adapter: IPAdapter, parts: Parts
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What an IP-Adapter reads of a picture and, for negative prompts, of none: (1, width) or (1, patches, width).

        Of none: a zero embedding or, where hidden states are read, those of a picture of zeros.

        Args:
            name: the picture's id.
            image: RGB.

        Raises:
            UserError: no encoder of the right width is there; says which are.
        """
        file = self.find(adapter)
        state = file.path.stat()
        key = (name, adapter.reads, str(file.path), state.st_size, state.st_mtime_ns, parts.dtype)
        found = self._kept.pop(key, None) or _encoded(file, image, adapter.reads, parts)
        self._kept[key] = found
        while len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        return found

    def find(self, adapter: IPAdapter) -> VisionFile:
        """The first encoder whose features have the width that the IP-Adapter reads.

        Raises:
            UserError: there is none.
        """
        there = []
        for name, path in self._files().items():
            try:
                file = check_clip_vision(path)
            except UserError as error:  # told with the others, where none fits
                there.append(
                    (f"{name} ({error.message('en')})", f"{name}（{error.message('zh')}）")
                )
                continue
            if adapter.width == (file.projected if adapter.reads == "image_embeds" else file.width):
                return file
            sizes = f"{file.width} / {file.projected}"
            there.append((f"{name} ({sizes})", f"{name}（{sizes}）"))
        english = "; ".join(each for each, _ in there) or "none"
        chinese = "；".join(each for _, each in there) or "无"
        needs = f"{adapter.reads}, {adapter.width}"
        raise problem(
            f"This IP-Adapter needs a CLIP image encoder ({needs}) that is not here. There are (hidden_states / "
            f"image_embeds): {english}. Put its folder (config.json, model.safetensors), which comes with IP-Adapters "
            f"as image_encoder, into models/{VISION.name}.",
            f"此 IP-Adapter 需要的 CLIP 图像编码器（{needs}）不存在。现有（hidden_states / image_embeds）：{chinese}。"
            f"请将随 IP-Adapter 提供的 image_encoder 文件夹（config.json、model.safetensors）放入 "
            f"models/{VISION.name}。",
        )

    def _files(self) -> dict[str, Path]:
        return {
            f"{kind.name}/{name}": path
            for kind in (VISION, OTHER)
            for name, path in self._host.files(kind).items()
        }


@torch.no_grad()
def _encoded(
    file: VisionFile, image: Image.Image, reads: str, parts: Parts
) -> tuple[torch.Tensor, torch.Tensor]:
    from transformers import CLIPImageProcessor

    model = load_clip_vision(file, parts.device, parts.dtype)
    prepare = CLIPImageProcessor(size=file.side, crop_size=file.side)
    pixels = prepare(image, return_tensors="pt").pixel_values.to(parts.device, parts.dtype)
    if reads == "image_embeds":
        embedded = model(pixels).image_embeds
        return embedded, torch.zeros_like(embedded)
    both = model(torch.cat([pixels, torch.zeros_like(pixels)]), output_hidden_states=True)
    seen, none = both.hidden_states[-2].chunk(2)
    return seen, none
