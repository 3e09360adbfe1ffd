"""The image encoders that there are, and which one an IP-Adapter needs. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modules.plugins import Host, ModelKind, UserError, problem
from modules.plugins.weights import check_clip_vision

from .files import VISION

if TYPE_CHECKING:
    from modules.plugins.weights import Reads, VisionFile

OTHER = ModelKind("image_encoder", "Image encoder", "图像编码器")
"""The folder's name in the repositories of IP-Adapters."""


def find_encoder(host: Host, reads: Reads, width: int) -> VisionFile:
    """The first encoder whose features have the width that an IP-Adapter reads.

    Raises:
        UserError: there is none; says which there are.
    """
    there = []
    for name, path in _files(host).items():
        try:
            file = check_clip_vision(path)
        except UserError as error:  # told with the others, where none fits
            there.append((f"{name} ({error.message('en')})", f"{name}（{error.message('zh')}）"))
            continue
        if width == (file.projected if reads == "image_embeds" else file.width):
            return file
        sizes = f"{file.width} / {file.projected}"
        there.append((f"{name} ({sizes})", f"{name}（{sizes}）"))
    english = "; ".join(each for each, _ in there) or "none"
    chinese = "；".join(each for _, each in there) or "无"
    raise problem(
        f"This IP-Adapter needs a CLIP image encoder ({reads}, {width}) that is not here. There are (hidden_states / "
        f"image_embeds): {english}. Put its folder (config.json, model.safetensors), which comes with IP-Adapters "
        f"as image_encoder, into models/{VISION.name}.",
        f"此 IP-Adapter 需要的 CLIP 图像编码器（{reads}, {width}）不存在。现有（hidden_states / image_embeds）：{chinese}。"
        f"请将随 IP-Adapter 提供的 image_encoder 文件夹（config.json、model.safetensors）放入 "
        f"models/{VISION.name}。",
    )


def _files(host: Host) -> Mapping[str, Path]:
    return {
        f"{kind.name}/{name}": path
        for kind in (VISION, OTHER)
        for name, path in host.files(kind).items()
    }
