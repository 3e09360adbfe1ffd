"""What a unit makes of its picture, for the panel to show: made at once, kept nowhere. Guests may ask, too."""

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image
from pydantic import ValidationError

from modules.plugins import Host, UserError, problem

from .modules_list import IP_ADAPTER, module_named
from .unit import Unit

MOST_SIDE = 4096


def previewed(host: Host, asked: Any, check: Callable[[str], None]) -> Image.Image:
    """{unit, width, height} → the map at the size of the result; for IP-Adapters, what the encoder looks at.

    `check` refuses the id of a picture that whoever asks may not have. Weights that are missing are not fetched.

    Raises:
        UserError: the unit or the size is wrong, the picture is not there, or the weights are missing.
    """
    unit = _unit(asked)
    size = _side(asked, "width"), _side(asked, "height")
    for name in filter(None, (unit.image, unit.mask_image)):
        check(name)
    from .maps import control_map, square  # cv2: the page starts without it

    if module_named(unit.module).name == IP_ADAPTER:
        return square(host, unit)
    return control_map(host, unit, size, aside=True)


def told(error: UserError) -> dict[str, Any]:
    """An error as the panel shows it."""
    return {"error": {language: error.message(language) for language in ("en", "zh")}}


def _unit(data: Any) -> Unit:
    given = _get(data, "unit")
    try:
        return Unit.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where, why = ".".join(str(each) for each in first["loc"]) or "unit", first["msg"]
        raise problem(f"{where}: {why}.", f"{where}：{why}。") from error


def _side(data: Any, name: str) -> int:
    found = _get(data, name)
    if not isinstance(found, int | float) or not 16 <= found <= MOST_SIDE:
        raise problem(
            f"The {name} is {str(found)[:40]}; it has to be from 16 to {MOST_SIDE}.",
            f"{name} 为 {str(found)[:40]}；须在 16 到 {MOST_SIDE} 之间。",
        )
    return int(found)


def _get(asked: Any, name: str) -> Any:
    return asked.get(name) if isinstance(asked, Mapping) else None
