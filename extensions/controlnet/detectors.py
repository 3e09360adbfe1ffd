"""The preprocessors that need weights: those of controlnet-aux, run on files that were fetched on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.plugins import Host, UserError, problem

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


PACKAGES = (
    "controlnet_aux", "cv2", "einops", "huggingface_hub", "scipy", "skimage", "timm", "torch", "torchvision",
)  # fmt: skip
"""What controlnet-aux imports for the detectors below, of other packages; the lock has them all."""


def need_packages(module: Module) -> None:
    """Look for them, without importing one, before anything is fetched.

    Raises:
        UserError: one is not installed; says which.
    """
    for name in PACKAGES if module.weights is not None else ():
        if find_spec(name) is None:
            raise lacking_package(module, name)


def lacking_package(module: Module, name: str) -> UserError:
    """The refusal."""
    return problem(
        f"The preprocessor {module.name} needs the Python package {name}, which is not installed. Start "
        "launch.sh (or launch.bat): it installs what is missing.",
        f"预处理器 {module.name} 需要 Python 包 {name}，但尚未安装。请运行 launch.sh（或 launch.bat）安装缺少的包。",
    )


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
        UserError: its weights are not here, or cannot be read, or a Python package is missing; says how to get them.
    """
    need(host, module)
    try:
        run = _made(module.name, str(folder(host)))
    except ImportError as error:
        raise lacking_package(module, error.name or str(error)) from error
    except (OSError, RuntimeError, KeyError, ValueError, EOFError) as error:
        raise problem(
            f"The weights of the preprocessor {module.name} cannot be read ({error}). Remove "
            f"them from models/{FOLDER} and fetch them again.",
            f"无法读取预处理器 {module.name} 的权重（{error}）。请从 models/{FOLDER} 中删除后重新获取。",
        ) from error
    found = np.asarray(run(pixels, *numbers))
    if found.ndim == 2:
        found = np.repeat(found[..., None], 3, axis=2)
    return _sized(np.ascontiguousarray(found[..., :3].astype(np.uint8)), pixels)


def _sized(found: Array, pixels: Array) -> Array:
    """At the picture's size: controlnet-aux stretches each side to a multiple of 64, which would shift every line."""
    import cv2

    height, width = pixels.shape[:2]
    return found if found.shape[:2] == (height, width) else cv2.resize(found, (width, height))


def _made(name: str, place: str) -> Callable[..., Any]:
    """The preprocessor, read from its files."""
    import controlnet_aux as aux

    def sized(pixels: Array) -> dict[str, Any]:
        side = max(64, min(pixels.shape[:2]))  # below half of it they would round it to nothing
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
    from .pose import drawn_poses

    pose = aux.OpenposeDetector.from_pretrained(place)
    face, hand = variant in ("full", "face"), variant in ("full", "hand")

    def posed(pixels: Array) -> Array:
        # Drawn here: its own drawing of hands imports matplotlib, which nothing else needs.
        people = pose.detect_poses(pixels, include_hand=hand, include_face=face)
        return drawn_poses(people, pixels.shape[1], pixels.shape[0])

    return posed
