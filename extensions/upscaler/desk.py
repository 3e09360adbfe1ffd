"""What the tab asks of Python; plain JSON, and nothing that gives away a path."""

from collections.abc import Callable
from typing import Any

from modules.plugins import Host, for_guests

from .files import NONE, names
from .options import UpscalerOptions


def functions(host: Host) -> list[Callable[[Any], dict[str, Any]]]:
    """The functions by which the tab works."""

    @for_guests
    def upscaler_choices(data: Any) -> dict[str, Any]:
        """→ the upscalers that there are now, and the fields with their bounds."""
        fields = {}
        for name, field in UpscalerOptions.model_fields.items():
            low = next((each.ge for each in field.metadata if hasattr(each, "ge")), None)
            high = next((each.le for each in field.metadata if hasattr(each, "le")), None)
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            fields[name] = {
                "value": field.default,
                "low": low,
                "high": high,
                "step": extra.get("step", 1),
                "en": field.title,
                "zh": extra.get("title_zh", field.title),
            }
        found = names(host)
        return {"upscalers": [NONE, *(each for each in found if each != NONE)], "fields": fields}

    return [upscaler_choices]
