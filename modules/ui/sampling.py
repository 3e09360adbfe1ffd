"""Steps, CFG scale, sampler and schedule."""

from typing import TYPE_CHECKING

from gradio.components import Component

from modules.schema import ModelDefaults
from modules.ui import choices
from modules.ui.fields import Tab

if TYPE_CHECKING:
    from modules.services.front import Studio


def build(tab: Tab, studio: "Studio") -> dict[str, Component]:
    """The group, folded away."""
    card = choices.choose_card(studio.models().cards, studio.default_model)
    defaults = card.defaults if card else ModelDefaults()
    limits = studio.limits
    with tab.group("sampling", "sampling"):
        return {
            "steps": tab.slider("steps", "steps", 1, limits.max_steps, defaults.steps),
            "cfg_scale": tab.slider("cfg", "cfg", 0, 30, defaults.cfg_scale, 0.1),
            "sampler": tab.choice("sampler", "sampler", choices.samplers(studio), defaults.sampler),
            "schedule": tab.choice(
                "schedule", "schedule", choices.schedules(studio), defaults.schedule
            ),
            "batch_size": tab.slider("batch-size", "batch_size", 1, limits.max_batch_size, 1),
        }
