"""The preprocessors that need weights: those of controlnet-aux, run on files that were fetched on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.plugins import Host, problem

from .modules_list import Module

if TYPE_CHECKING:
    from .preprocess import Array  # cv2: the page asks here what is missing, and starts without it

FOLDER = "annotators"
"""Below models/."""


def folder(host: Host) -> Path:
    """Where the weights of preprocessors lie."""
    return host.models / FOLDER


def missing(host: Host, module: Module) -> list[str]:
    """The files that a preprocessor still needs."""
    files = module.weights.files if module.weights is not None else ()
    return [name for name in files if not (folder(host) / name).is_file()]


def need(host: Host, module: Module) -> None:
    """Say what is missing.

    Raises:
        UserError: weights of the preprocessor are not here; says how to get them.
    """
    lacking = missing(host, module)
    if lacking and module.weights is not None:
        raise problem(
            f"The preprocessor {module.name} needs {', '.join(lacking)} (about "
            f"{module.weights.megabytes} MB) in models/{FOLDER}. Fetch them by the button in the "
            f"ControlNet panel or with `noisette extensions run controlnet fetch {module.name}`.",
            f"预处理器 {module.name} 需要 models/{FOLDER} 中的 {', '.join(lacking)}（约 "
            f"{module.weights.megabytes} MB）。请用 ControlNet 面板中的按钮或 "
            f"`noisette extensions run controlnet fetch {module.name}` 获取。",
        )


def detect(host: Host, module: Module, pixels: Array, numbers: Sequence[float]) -> Array:
    """What the preprocessor makes of a picture, (height, width, 3), of the same size.

    Raises:
        UserError: its weights are not here, or cannot be read; says how to get them.
    """
    need(host, module)
    try:
        run = _made(module.name, str(folder(host)))
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, ImportError) as error:
        raise problem(
            f"The weights of the preprocessor {module.name} cannot be read ({error}). Remove "
            f"them from models/{FOLDER} and fetch them again.",
            f"无法读取预处理器 {module.name} 的权重（{error}）。请从 models/{FOLDER} 中删除后重新获取。",
        ) from error
    found = np.asarray(run(pixels, *numbers))
    if found.ndim == 2:
        found = np.repeat(found[..., None], 3, axis=2)
    return np.ascontiguousarray(found[..., :3].astype(np.uint8))


def _made(name: str, place: str) -> Callable[..., Any]:
    """The preprocessor, read from its files."""
    import controlnet_aux as aux

    def sized(pixels: Array) -> dict[str, Any]:
        side = min(pixels.shape[:2])
        return {"detect_resolution": side, "image_resolution": side}

    kind, _, variant = name.partition("_")
    if "hed" in name:
        hed = aux.HEDdetector.from_pretrained(place)
        return lambda x: hed(x, safe="safe" in name, scribble=kind == "scribble", **sized(x))
    if "pidi" in name:
        pidi = aux.PidiNetDetector.from_pretrained(place)
        return lambda x: pidi(x, safe="safe" in name, scribble=kind == "scribble", **sized(x))
    if name == "lineart_anime":
        anime = aux.LineartAnimeDetector.from_pretrained(place)
        return lambda x: anime(x, **sized(x))
    if kind == "lineart":
        line = aux.LineartDetector.from_pretrained(place)
        return lambda x: line(x, coarse=variant == "coarse", **sized(x))
    if name == "depth_midas":
        midas = aux.MidasDetector.from_pretrained(place)
        return lambda x: midas(x, **sized(x))
    if name == "depth_zoe":
        zoe = aux.ZoeDetector.from_pretrained(place)
        return lambda x: zoe(x, **sized(x))
    if name == "mlsd":
        mlsd = aux.MLSDdetector.from_pretrained(place)
        return lambda x, value, distance: mlsd(x, value, distance, **sized(x))
    if name == "normalbae":
        normal = aux.NormalBaeDetector.from_pretrained(place)
        return lambda x: normal(x, **sized(x))
    pose = aux.OpenposeDetector.from_pretrained(place)
    face, hand = variant in ("full", "face"), variant in ("full", "hand")
    return lambda x: pose(x, include_face=face, include_hand=hand, **sized(x))
