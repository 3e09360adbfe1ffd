"""Refiner: another checkpoint makes the last steps."""

from typing import TYPE_CHECKING

from gradio.components import Component

from modules.ui import choices
from modules.ui.fields import Tab

if TYPE_CHECKING:
    from modules.services.front import Studio


def build(tab: Tab, studio: "Studio") -> dict[str, Component]:
    """The group, folded away; off while no checkpoint is chosen."""
    with tab.group("refiner", "refiner"):
        return {
            "refiner__model": tab.choice(
                "refiner-model",
                "refiner.model",
                choices.refiners(studio, studio.default_model),
                "",
            ),
            "refiner__switch_at": tab.slider(
                "refiner-switch", "refiner.switch", 0.01, 1, 0.8, 0.01
            ),
        }
