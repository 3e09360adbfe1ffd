"""What the program carries of each model family: the configurations of its parts, and its usual sizes.

Single files hold weights and no configuration; these are small facts about architectures, in diffusers' own format.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent / "configs"
FAMILIES = ("sd1", "sd2", "sdxl", "sdxl_refiner")
"""Those that can be loaded."""
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
INPUTS = {4: "base", 9: "inpaint", 8: "edit"}
"""Variants by the denoiser's input channels."""


@dataclass(frozen=True)
class Spec:
    """One family. A part that it does not have is None."""

    family: str
    title: str
    unet: dict[str, Any]
    vae: dict[str, Any]
    text_encoder: dict[str, Any] | None
    text_encoder_2: dict[str, Any] | None
    tokenizer: dict[str, Any] | None
    tokenizer_2: dict[str, Any] | None
    scheduler: dict[str, Any]
    defaults: dict[str, Any]
    size_limits: dict[str, Any]

    def changed(self, changes: dict[str, Any]) -> "Spec":
        """With some values of some parts replaced: `{"unet": {"in_channels": 9}}`."""
        now = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, values in changes.items():
            now[name] = {**(now[name] or {}), **values}
        return Spec(**now)


def spec(family: str) -> Spec:
    """What is known of `family`.

    Raises:
        KeyError: it cannot be loaded.
    """
    if family not in FAMILIES:
        raise KeyError(family)
    data = json.loads((CONFIGS / f"{family}.json").read_text(encoding="utf-8"))
    parts = {name: data.get(name) for name in (*PARTS, "tokenizer", "tokenizer_2")}
    rest = {name: data[name] for name in ("title", "scheduler", "defaults", "size_limits")}
    return Spec(family=family, **parts, **rest)
