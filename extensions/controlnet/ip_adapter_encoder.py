"""What the image encoder of an IP-Adapter makes of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image

from modules.plugins import Host
from modules.plugins.adapters import Parts
from modules.plugins.weights import load_clip_vision

from .encoders import find_encoder

if TYPE_CHECKING:
    from modules.plugins.weights import IPAdapter, VisionFile

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
        file = find_encoder(self._host, adapter.reads, adapter.width)
        state = file.path.stat()
        key = (name, adapter.reads, str(file.path), state.st_size, state.st_mtime_ns, parts.dtype)
        found = self._kept.pop(key, None) or _encoded(file, image, adapter.reads, parts)
        self._kept[key] = found
        while len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        return found


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
