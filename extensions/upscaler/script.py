"""What programs that speak `/sdapi/v1` ask for, in our options."""

from collections.abc import Mapping
from typing import Any

from modules.plugins import Host, problem

from .files import KIND, NONE, find
from .options import UpscalerOptions

_FACES = ("gfpgan", "codeformer", "restoreformer")
"""Kinds of face models, as their files' names tell them."""


def read(args: Any, keep: Any, host: Host) -> Mapping[str, Any] | None:
    """The fields of an extras request, those of `restore_faces`, or our own options by name or in order.

    Raises:
        UserError: an upscaler or a face model that is not here.
    """
    if isinstance(args, Mapping) and "upscaler_1" in args:
        return _extras(args, host)
    if isinstance(args, Mapping) and "visibility" in args:
        face = _face(host, str(args.get("model") or ""))
        return _only_faces(face, float(args["visibility"]))
    if isinstance(args, Mapping):
        return {"enabled": True, **args}
    if not args:
        return None
    if len(args) == 1 and isinstance(args[0], Mapping):
        return {"enabled": True, **args[0]}
    return dict(zip(UpscalerOptions.model_fields, args, strict=False))


def _extras(args: Mapping[str, Any], host: Host) -> Mapping[str, Any]:
    first, second = (find(host, str(args[f"upscaler_{n}"] or NONE)).name for n in (1, 2))
    options: dict[str, Any] = {"enabled": True, "upscaler": first, "upscaler_2": second}
    if first == NONE:
        options["scale"] = 1.0  # as there: without an upscaler the size stays
    elif args["resize_mode"] == 0:
        options["scale"] = args["upscaling_resize"]
    else:
        options |= {
            "mode": "to",
            "width": args["upscaling_resize_w"],
            "height": args["upscaling_resize_h"],
            "crop": args["upscaling_crop"],
        }
    options["blend"] = args["extras_upscaler_2_visibility"]
    for kind in ("gfpgan", "codeformer"):
        if args[f"{kind}_visibility"]:
            amount = args[f"{kind}_visibility"]
            options |= {"face": _face(host, kind), "face_amount": amount}
    return options


def _only_faces(face: str, amount: float) -> Mapping[str, Any]:
    return {
        "enabled": True,
        "upscaler": NONE,
        "scale": 1.0,
        "face": face,
        "face_amount": amount,
    }


def _face(host: Host, wanted: str) -> str:
    """The face model that is meant: a file of that name, or the first of that kind; of any kind without a name."""
    names = list(host.files(KIND))
    plain = wanted.strip().casefold()
    for name in names:
        if plain and plain in name.casefold():
            return name
    for kind in _FACES if plain in ("", "none") else ():
        for name in names:
            if kind in name.casefold():
                return name
    said = wanted[:80] or "GFPGAN"
    raise problem(
        f"There is no face restoration model {said!r} here. Put its file into models/upscalers.",
        f"这里没有人脸修复模型 {said!r}。请把它的文件放入 models/upscalers。",
    )
