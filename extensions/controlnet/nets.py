"""Control models in memory: the last few that were used, for the denoiser that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from modules.plugins import Host
from modules.plugins.adapters import Parts, safe_weights
from modules.plugins.weights import (
    check_control,
    load_controlnet,
    load_ip_adapter,
    load_t2i_adapter,
)

from .checks import check_family
from .files import find, short_hash

MOST_KEPT = 3


@dataclass(frozen=True, eq=False)
class Net:
    """A control model, ready to run."""

    name: str
    hash: str
    kind: Literal["controlnet", "t2i_adapter", "ip_adapter"]
    model: Any

    @property
    def channels(self) -> int:
        """Of the picture that it looks at."""
        if self.kind == "controlnet":
            return 3
        return int(self.model.config.in_channels)


class Nets:
    """Reads control models and keeps the last `MOST_KEPT` (SD 1.x: 0.7 GB each in half precision)."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._held: dict[tuple[object, ...], Net] = {}

    def get(self, name: str, parts: Parts) -> Net:
        """The control model of that name, for this model.

        Raises:
            UserError: there is none, it is damaged, or for another model.
        """
        check_family(parts.family)
        found, path = find(self._host, name)
        state = path.stat()
        key = (str(path), state.st_size, state.st_mtime_ns, parts.card_name, parts.dtype)
        if key in self._held:
            net = self._held.pop(key)
        else:
            net = self._read(found, path, parts)
        self._held[key] = net
        while len(self._held) > MOST_KEPT:
            self._held.pop(next(iter(self._held)))
        return net

    def _read(self, name: str, path: Path, parts: Parts) -> Net:
        file = check_control(safe_weights(self._host, path), parts.family)
        if file.identity.kind == "ip_adapter":
            model = load_ip_adapter(file, parts.unet, parts.device, parts.dtype)
            return Net(name, short_hash(path), "ip_adapter", model)
        if file.identity.kind == "t2i_adapter":
            model = load_t2i_adapter(file, parts.unet, parts.family, parts.device, parts.dtype)
            return Net(name, short_hash(path), "t2i_adapter", model)
        pooled = "shuffle" in name.casefold() and parts.family == "sd1"
        model = load_controlnet(file, parts.unet, parts.device, parts.dtype, pooled=pooled)
        return Net(name, short_hash(path), "controlnet", model)
