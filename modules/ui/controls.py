"""What a tab that makes pictures has laid out, handed to its handlers and its wiring."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradio.components import Component

from modules.ui.basics import Basics
from modules.ui.fields import Tab
from modules.ui.plans import PlanButton
from modules.ui.words import Words
from modules.ui.written import WrittenButton


@dataclass(frozen=True)
class Controls:
    """`fields` are the controls of the request by name (`modules.ui.bind`), in the order in which events carry them."""

    tab: Tab
    words: Words
    basics: Basics
    fields: Mapping[str, Component]
    plans: tuple[PlanButton, ...] = ()
    """Buttons of extensions' panels that queue pictures."""
    written: tuple[WrittenButton, ...] = ()
    """And those that show what becomes of the prompts."""
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Words of extensions' panels, by language and key."""

    @property
    def names(self) -> list[str]:
        """The fields' names in that order."""
        return list(self.fields)
