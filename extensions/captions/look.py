"""Models that look at a picture, through transformers: captions by BLIP (arXiv:2201.12086), tags by image classifiers.

Nothing is downloaded, no code of a model's folder is run, and weights are safetensors only.
"""

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError

from modules.plugins import Host, problem
from modules.plugins.adapters import compute_device

from .files import Found

Looking = Callable[[Image.Image, float], str]
"""Words for an RGB picture; the number is the least that a tag's probability has to be."""

MOST_WORDS = 48
"""Tokens of a caption."""
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


def load(host: Host, found: Found) -> Looking:
    """The model, on the device of generations.

    Raises:
        UserError: its files are damaged, or not all there.
    """
    device = compute_device(host)
    try:
        return _captioner(found, device) if found.kind == "caption" else _tagger(found, device)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise problem(
            f"The model {found.name} cannot be loaded ({why}). Download its folder again, with all its files.",
            f"模型 {found.name} 无法载入（{why}）。请重新下载整个文件夹及其全部文件。",
        ) from error


def _captioner(found: Found, device: Any) -> Looking:
    from transformers import AutoTokenizer, BlipForConditionalGeneration, BlipImageProcessor

    images = BlipImageProcessor.from_pretrained(found.path, **_LOCAL)  # nosec B615 - a folder here, nothing is fetched
    words = AutoTokenizer.from_pretrained(found.path, **_LOCAL)  # nosec B615 - a folder here, nothing is fetched
    model = _opened(BlipForConditionalGeneration, found, device)

    def look(image: Image.Image, threshold: float) -> str:
        pixels = images(image, return_tensors="pt")["pixel_values"].to(device)
        with torch.inference_mode():
            ids = model.generate(pixel_values=pixels, max_new_tokens=MOST_WORDS, do_sample=False)
        return str(words.decode(ids[0], skip_special_tokens=True)).strip()

    return look


def _tagger(found: Found, device: Any) -> Looking:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    images = AutoImageProcessor.from_pretrained(found.path, **_LOCAL)  # nosec B615 - a folder here, nothing is fetched
    model = _opened(AutoModelForImageClassification, found, device)
    labels = model.config.id2label

    def look(image: Image.Image, threshold: float) -> str:
        pixels = images(image, return_tensors="pt")["pixel_values"].to(device)
        with torch.inference_mode():
            shares = torch.sigmoid(model(pixel_values=pixels).logits[0].float()).tolist()
        ranked = sorted(enumerate(shares), key=lambda pair: (-pair[1], pair[0]))
        return ", ".join(str(labels[index]) for index, share in ranked if share >= threshold)

    return look


def _opened(kind: Any, found: Found, device: Any) -> Any:
    model = kind.from_pretrained(found.path, use_safetensors=True, **_LOCAL)
    return model.eval().requires_grad_(False).to(device)
