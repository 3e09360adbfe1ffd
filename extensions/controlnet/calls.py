"""How programs that speak `/sdapi/v1` call it: `alwayson_scripts.ControlNet.args`, one object for each unit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image
from pydantic import JsonValue, ValidationError

from modules.plugins import Host, Options, Script, problem

from .modules_list import module_named
from .unit import MOST_UNITS, Unit

SCRIPT = Script(
    "ControlNet", aliases=("sd-webui-controlnet",), read="calls:read", images="calls:maps"
)
_PICTURES = {"image": ("image", "input_image"), "mask_image": ("mask_image", "mask")}
_IGNORED = (
    "low_vram", "lowvram", "guess_mode", "guidance", "inpaint_crop_input_image", "union_control_type",
    "effective_region_mask", "is_ui", "input_mode", "batch_images", "output_dir", "loopback",
    "animatediff_batch", "batch_modifiers", "ipadapter_input", "advanced_weighting", "use_preview_as_input",
    "generated_image", "hr_option_index", "control_type", "batch_image_dir", "batch_mask_dir",
)  # fmt: skip
"""Fields that such programs send and that change nothing here."""


def read(
    args: Sequence[Any] | Mapping[str, Any], keep: Callable[[str], str]
) -> dict[str, Any] | None:
    """The options; None where no unit is switched on.

    Raises:
        UserError: a unit that cannot be understood, or a picture that is none.
    """
    rows = [args] if isinstance(args, Mapping) else list(args)
    units = [_unit(row, keep) for number, row in enumerate(rows, 1) if _is_unit(number, row)]
    if len(units) > MOST_UNITS:
        raise problem(
            f"There are {len(units)} ControlNet units; {MOST_UNITS} are the most.",
            f"ControlNet 单元有 {len(units)} 个，最多 {MOST_UNITS} 个。",
        )
    on = [unit for unit in units if unit is not None]
    return {"enabled": True, "units": on} if on else None


def maps(options: Options, host: Host, receipt: JsonValue) -> list[Image.Image]:
    """What the preprocessors made, unit by unit, as the job kept it.

    Raises:
        UserError: a map has been deleted since.
    """
    rows = receipt if isinstance(receipt, list) else []
    return [
        host.open_picture(str(row["map"]))
        for row in rows
        if isinstance(row, dict) and row.get("map") and _makes_a_map(str(row.get("module", "")))
    ]


def _makes_a_map(module: str) -> bool:
    return module_named(module).name != "none"


def _is_unit(number: int, row: object) -> bool:
    """Older programs put two flags before the units, and some leave a unit empty.

    Raises:
        UserError: it is neither of these nor a unit; to pass it over would make a picture without control.
    """
    if row is None or isinstance(row, bool):
        return False
    if isinstance(row, Mapping):
        return True
    found = repr(row)[:80]
    raise problem(
        f"ControlNet unit {number} is {found}; it has to be an object with the fields of a unit.",
        f"第 {number} 个 ControlNet 单元是 {found}；它必须是包含单元字段的对象。",
    )


def _unit(row: Mapping[str, Any], keep: Callable[[str], str]) -> dict[str, Any] | None:
    if row.get("enabled", True) is False:
        return None
    given = {
        name: value
        for name, value in row.items()
        if name not in _IGNORED and value is not None and not _is_picture(name)
    }
    pictures: dict[str, str] = {}
    for name, aliases in _PICTURES.items():
        sent = next((row[alias] for alias in aliases if row.get(alias)), None)
        if isinstance(sent, Mapping):  # {"image": …, "mask": …}
            if sent.get("mask"):
                pictures.setdefault("mask_image", keep(str(sent["mask"])))
            sent = sent.get("image")
        if isinstance(sent, str) and sent:
            pictures[name] = keep(sent)
    try:
        # As there: maps are kept unless somebody says otherwise.
        unit = Unit.model_validate({"save_detected_map": True, **given, **pictures})
    except ValidationError as error:
        first = error.errors()[0]
        where, why = ".".join(str(each) for each in first["loc"]) or "unit", first["msg"]
        raise problem(
            f"ControlNet unit: {where}: {why}.", f"ControlNet 单元：{where}：{why}。"
        ) from error
    return unit.model_dump(mode="json")


def _is_picture(name: str) -> bool:
    return any(name in aliases for aliases in _PICTURES.values())
