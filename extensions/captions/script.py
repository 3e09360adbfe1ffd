"""What programs that speak `/sdapi/v1` ask for, in our options."""

from collections.abc import Mapping
from typing import Any

from modules.plugins import Host

from .files import find


def read(args: Any, keep: Any, host: Host) -> Mapping[str, Any] | None:
    """`{"model": …}`, alone or as the only one of a list; the model is looked for now.

    Raises:
        UserError: there is none.
    """
    given = args[0] if isinstance(args, list) and args else args
    if not isinstance(given, Mapping) or given.get("enabled") is False:
        return None
    found = find(host, str(given.get("model") or "clip"))
    return {**given, "enabled": True, "model": found.name}
