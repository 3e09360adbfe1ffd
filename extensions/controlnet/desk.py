"""What the panel asks of Python: plain JSON in and out. Anyone who reaches the page can call these with anything."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from modules.plugins import Host, UserError, for_guests

from .detectors import folder, missing
from .fetching import Fetching
from .files import models, title
from .modules_list import MODULES, module_named
from .preview import told
from .unit import MOST_UNITS

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

    def control_fetch(data: Any) -> Answer:
        """{module} → the fetching of its weights has begun."""
        fetching.begin(module_named(str(_get(data, "module"))))
        return {}

    def control_fetching(data: Any) -> Answer:
        """→ what is being fetched and how far that is."""
        name, share, error = fetching.state()
        return {"module": name, "share": share, **(told(error) if error else {})}

    return [_answering(each) for each in (control_choices, control_fetch, control_fetching)]


def _models(host: Host) -> list[tuple[str, Any]]:
    return [(name, path) for name, path in models(host).items() if folder(host) not in path.parents]


def _get(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, Mapping) else None


def _answering(call: Call) -> Call:
    @wraps(call)
    def answered(data: Any = None) -> Answer:
        try:
            return call(data)
        except UserError as error:
            return told(error)

    return answered
