"""What can be said against units before a model is touched: when they are asked for, and once more in the job. No torch."""

from collections.abc import Sequence
from pathlib import Path

from modules.plugins import Host, problem
from modules.plugins.weights import check_control, features_of

from .detectors import need, need_packages
from .encoders import find_encoder
from .files import find
from .modules_list import IP_ADAPTER, Module, module_named
from .unit import Unit

FAMILIES = ("sd1", "sd2", "sdxl")


def check_units(host: Host, units: Sequence[Unit], family: str) -> None:
    """Refuse what the job of these units would refuse, as far as names, headers and the sizes of pictures tell.

    Raises:
        UserError: a picture, a mask, a preprocessor or its weights, a control model or an image encoder is missing, or
            they do not go together, or not with a model of `family`.
    """
    check_chosen(units)
    for unit in units:
        if unit.acts:
            check_family(family)
            name, path = find(host, unit.model)
            module = check_pictures(unit)
            need_packages(module)
            need(host, module)
            for picture in filter(None, (unit.image, unit.mask_image)):
                host.picture_size(picture)
            _check_file(host, unit, name, path, family)


def check_chosen(units: Sequence[Unit]) -> None:
    """A unit with a picture needs a model.

    Raises:
        UserError: one has none.
    """
    for unit in units:
        if unit.enabled and unit.image and unit.weight and not unit.has_model:
            raise problem(
                "A ControlNet unit has a picture and no model. Choose a model, or switch the unit off.",
                "有 ControlNet 单元有图片而没有模型。请选择模型，或关闭该单元。",
            )


def check_family(family: str) -> None:
    """Look whether there are control models for a family at all.

    Raises:
        UserError: there are none.
    """
    if family not in FAMILIES:
        raise problem(
            f"ControlNet is for models of the kinds SD 1.x, SD 2.x and SDXL; this one is "
            f"{family}. Switch it off, or choose another model.",
            f"ControlNet 适用于 SD 1.x、SD 2.x 与 SDXL 模型；当前为 {family}。请将其关闭，或选择其他模型。",
        )


def check_pictures(unit: Unit) -> Module:
    """The unit's preprocessor, which has all the pictures that it needs.

    Raises:
        UserError: the preprocessor is unknown, or the picture or the mask is missing.
    """
    if not unit.image:
        raise problem(
            "A ControlNet unit has no picture. Hand one in, or switch the unit off.",
            "有 ControlNet 单元没有图片。请提供图片，或关闭该单元。",
        )
    module = module_named(unit.module)
    if module.name == "inpaint_only" and not unit.mask_image:
        raise problem(
            "The preprocessor inpaint_only needs a mask: white is what is to be painted anew.",
            "预处理器 inpaint_only 需要蒙版：白色为要重绘的部分。",
        )
    return module


def check_kind(unit: Unit, name: str, kind: str) -> None:
    """An IP-Adapter takes the picture itself, and nothing else takes its preprocessor.

    Args:
        name: of the unit's control model.
        kind: controlnet, t2i_adapter or ip_adapter.

    Raises:
        UserError: they do not go together; says what does.
    """
    module = module_named(unit.module).name
    if kind == "ip_adapter" and module not in (IP_ADAPTER, "none"):
        raise problem(
            f"{name} is an IP-Adapter, which looks at the picture itself, and the preprocessor is {module}. "
            f"Choose the preprocessor {IP_ADAPTER}, or a ControlNet.",
            f"{name} 是 IP-Adapter，直接读取图片本身，而预处理器为 {module}。请选择预处理器 {IP_ADAPTER}，或改用 "
            "ControlNet。",
        )
    if kind != "ip_adapter" and module == IP_ADAPTER:
        raise problem(
            f"The preprocessor {IP_ADAPTER} is for IP-Adapters, and {name} is none. Choose another preprocessor, "
            "or an IP-Adapter.",
            f"预处理器 {IP_ADAPTER} 仅适用于 IP-Adapter，而 {name} 不是。请选择其他预处理器，或改用 IP-Adapter。",
        )


def _check_file(host: Host, unit: Unit, name: str, path: Path, family: str) -> None:
    if path.suffix.lower() != ".safetensors":
        return  # the worker makes a copy that can be read without running code
    file = check_control(path, family)
    check_kind(unit, name, file.identity.kind)
    if file.identity.kind == "ip_adapter":
        find_encoder(host, *features_of(file))
