"""What is said of enlarging in a picture's text, and back."""

import re
from collections.abc import Mapping
from typing import Any

from modules.plugins import Host, UserError

from .files import NONE, find
from .options import UpscalerOptions

BY = "Postprocess upscale by"
TO = "Postprocess upscale to"
CROP = "Postprocess crop to"
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_NAMES = {
    "Postprocess upscaler": "upscaler",
    "Postprocess upscaler 2": "upscaler_2",
    "Postprocess face restoration": "face",
}
_AMOUNTS = {
    "Postprocess upscaler 2 visibility": "blend",
    "Postprocess denoise": "denoise",
    "Postprocess face restoration amount": "face_amount",
    "Postprocess sharpen": "sharpen",
}


def written(host: Host, options: UpscalerOptions, *, faces: bool) -> dict[str, object]:
    """In the words that this kind of tool has for it; `faces`: whether any was restored.

    Raises:
        UserError: an upscaler is not there.
    """
    said: dict[str, object] = {}
    if options.mode == "by":
        said[BY] = options.scale
    else:
        said[TO] = f"{options.width}x{options.height}"
        if options.crop:
            said[CROP] = f"{options.width}x{options.height}"
    said["Postprocess upscaler"] = find(host, options.upscaler).name
    if options.blend and options.upscaler_2.casefold() != NONE.casefold():
        said["Postprocess upscaler 2"] = find(host, options.upscaler_2).name
        said["Postprocess upscaler 2 visibility"] = options.blend
    if options.denoise:
        said["Postprocess denoise"] = options.denoise
    if faces:
        said["Postprocess face restoration"] = find(host, options.face).name
        said["Postprocess face restoration amount"] = options.face_amount
    if options.sharpen:
        said["Postprocess sharpen"] = options.sharpen
    return said


def read(host: Host, parameters: Mapping[str, str]) -> tuple[dict[str, Any], list[str]] | None:
    """The options that a text means, and its keys; None where it says nothing of them, or names what is not here."""
    options: dict[str, Any] = {}
    keys: list[str] = []
    if BY in parameters:
        options |= {"mode": "by", "scale": parameters[BY]}
        keys.append(BY)
    elif TO in parameters and (size := _SIZE.fullmatch(parameters[TO])):
        options |= {"mode": "to", "width": size[1], "height": size[2], "crop": CROP in parameters}
        keys += [key for key in (TO, CROP) if key in parameters]
    for key, name in _NAMES.items():
        if key in parameters:
            try:
                options[name] = find(host, parameters[key]).name
            except (
                UserError
            ):  # to enlarge by another would be another picture: the text's keys stay unused
                return None
            keys.append(key)
    for key, name in _AMOUNTS.items():
        if key in parameters:
            options[name] = parameters[key]
            keys.append(key)
    if not keys:
        return None
    if not {"scale", "width"} & options.keys():
        options["scale"] = 1.0  # nothing is said of a size: it stays
    return {"upscaler": NONE, **options}, keys
