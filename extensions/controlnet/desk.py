"""What the panel asks of Python: plain JSON in and out. Anyone who reaches the page can call these with anything."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from pydantic import ValidationError

from modules.plugins import Host, UserError, for_guests, problem

from .detectors import folder, missing
from .fetching import Fetching
from .files import models, title
from .modules_list import IP_ADAPTER, MODULES, module_named
from .unit import MOST_UNITS, Unit

MOST_SIDE = 4096
Answer = dict[str, Any]
Call = Callable[[Any], Answer]


def functions(host: Host) -> list[Call]:
    """The functions by which the panel works."""
    fetching = Fetching(host)

    @for_guests  # without it the panel is empty; the same is at /controlnet/module_list and model_list
    def control_choices(data: Any) -> Answer:
        """→ the preprocessors, the control models that there are now, and how many units there may be."""
        return {
            "modules": [
                {
                    "name": module.name,
                    "zh": module.title_zh,
                    "sliders": [vars(slider) for slider in module.sliders],
                    "sized": module.sized,
                    "missing": missing(host, module),
                    "megabytes": module.weights.megabytes if module.weights else 0,
                }
                for module in MODULES
            ],
            "models": [{"name": name, "title": title(name, path)} for name, path in _models(host)],
            "most": MOST_UNITS,
        }

    def control_preview(data: Any) -> Answer:
        """{unit, width, height} → the id of the map at the size of the result; for IP-Adapters, of what is looked at."""
        from .maps import control_map, square

        unit = _unit(data)
        size = _side(data, "width"), _side(data, "height")
        if module_named(unit.module).name == IP_ADAPTER:
            made = square(host, unit)
        else:
            made = control_map(host, unit, size, aside=True)
        return {"id": host.keep_picture(made), "width": made.width, "height": made.height}

    def control_fetch(data: Any) -> Answer:
        """{module} → the fetching of its weights has begun."""
        fetching.begin(module_named(str(_get(data, "module"))))
        return {}

    def control_fetching(data: Any) -> Answer:
        """→ what is being fetched and how far that is."""
        name, share, error = fetching.state()
        return {"module": name, "share": share, **(_told(error) if error else {})}

    return [
        _answering(each)
        for each in (control_choices, control_preview, control_fetch, control_fetching)
    ]


def _models(host: Host) -> list[tuple[str, Any]]:
    return [(name, path) for name, path in models(host).items() if folder(host) not in path.parents]


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


def _get(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, Mapping) else None


def _told(error: UserError) -> Answer:
    return {"error": {language: error.message(language) for language in ("en", "zh")}}


def _answering(call: Call) -> Call:
    @wraps(call)
    def answered(data: Any = None) -> Answer:
        try:
            return call(data)
        except UserError as error:
            return _told(error)

    return answered
