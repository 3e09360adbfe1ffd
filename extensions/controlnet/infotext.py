"""A unit in a picture's text, as the A1111 family writes it, and back."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from modules.plugins import Host, UserError

from .files import find
from .modules_list import module_named
from .unit import CONTROL_LABELS, HR_LABELS, MOST_UNITS, RESIZE_LABELS, Unit

_KEY = re.compile(r"ControlNet (\d{1,4})", re.ASCII)
_READ = {
    "module": "module",
    "model": "model",
    "weight": "weight",
    "resize mode": "resize_mode",
    "processor res": "processor_res",
    "threshold a": "threshold_a",
    "threshold b": "threshold_b",
    "guidance start": "guidance_start",
    "guidance end": "guidance_end",
    "pixel perfect": "pixel_perfect",
    "control mode": "control_mode",
    "hr option": "hr_option",
}


def written(unit: Unit, model: str, digits: str) -> str:
    """`Module: canny, Model: name [hash], Weight: 1.0, …`; values of -1 are left out."""
    resize = dict(
        zip(("just_resize", "crop_and_resize", "resize_and_fill"), RESIZE_LABELS, strict=True)
    )
    control = dict(zip(("balanced", "prompt", "control"), CONTROL_LABELS, strict=True))
    passes = dict(zip(("both", "low_res_only", "high_res_only"), HR_LABELS, strict=True))
    pairs: list[tuple[str, object]] = [
        ("Module", _bare(module_named(unit.module).name)),
        ("Model", f"{_bare(model)} [{digits}]"),
        ("Weight", unit.weight),
        ("Resize Mode", resize[unit.resize_mode]),
        ("Processor Res", unit.processor_res),
        ("Threshold A", float(unit.threshold_a)),
        ("Threshold B", float(unit.threshold_b)),
        ("Guidance Start", unit.guidance_start),
        ("Guidance End", unit.guidance_end),
        ("Pixel Perfect", unit.pixel_perfect),
        ("Control Mode", control[unit.control_mode]),
        ("Hr Option", passes[unit.hr_option]),
    ]
    return ", ".join(
        f"{key}: {value}"
        for key, value in pairs
        if not (isinstance(value, int | float) and not isinstance(value, bool) and value == -1)
    )


def read(host: Host, parameters: Mapping[str, str]) -> tuple[dict[str, Any], list[str]] | None:
    """The units of a picture's text as options, and the keys that they stand under; None where there are none.

    Without their pictures, which a text does not hold. Names are those of the preprocessors and files that are here;
    what is not here keeps its name, and the job says so. What is no unit is left out.
    """
    numbered = sorted(
        (int(found.group(1)), key) for key in parameters if (found := _KEY.fullmatch(key))
    )
    units, keys = [], []
    for _, key in numbered[:MOST_UNITS]:
        unit = _unit(host, _said(parameters[key]))
        if unit is not None:
            units.append(unit)
            keys.append(key)
    return ({"units": units}, keys) if units else None


def _unit(host: Host, said: dict[str, Any]) -> dict[str, Any] | None:
    if "module" not in said and "model" not in said:
        return None
    if "module" in said:
        said["module"] = _here(said["module"], lambda name: module_named(name).name)
    if "model" in said:
        said["model"] = _here(said["model"], lambda name: find(host, name)[0])
    try:
        return Unit.model_validate(said).model_dump(mode="json")
    except (ValidationError, UserError):
        return None


def _here(name: str, look: Callable[[str], str]) -> str:
    try:
        return look(name)
    except UserError:
        return (
            name  # somebody may put the file there before the job runs, which says what is missing
        )


def _said(text: str) -> dict[str, Any]:
    unit: dict[str, Any] = {}
    for pair in text.split(", "):
        key, _, value = pair.partition(": ")
        name = _READ.get(key.strip().casefold())
        if name is not None and value.strip():
            unit[name] = value.strip() == "True" if name == "pixel_perfect" else value.strip()
    return unit


def _bare(name: str) -> str:
    return name.replace(",", "").replace(":", "")
