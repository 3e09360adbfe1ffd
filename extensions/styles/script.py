"""What programs that speak `/sdapi/v1` ask for, in our options."""

from collections.abc import Mapping
from typing import Any


def read(args: Any, keep: Any) -> Mapping[str, Any] | None:
    """A list of names, as `styles` has them, or our own options."""
    if isinstance(args, Mapping):
        return {"enabled": True, **args}
    if not args:
        return None
    if isinstance(args[0], Mapping):
        return {"enabled": True, **args[0]}
    names = [str(each) for each in args if not isinstance(each, bool)]
    if args[0] is False or not any(name.strip() for name in names):
        return None
    return {"enabled": True, "names": ", ".join(names)}
