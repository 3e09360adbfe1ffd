"""What an extension mounts on a tab."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modules.plugins.action import Action


@dataclass(frozen=True)
class Panel:
    """One accordion on one tab.

    `build` may name a function in the extension's own files, `"panel:build"`: called in the page's process inside the
    accordion, as `build(options)` with `host`, `axes` (a function: what a grid can vary) and `t` (words in both languages) where
    it takes them, it makes Gradio components and returns them by option
    name. Without it the page makes a control for each
    field of the options.
    """

    tab: str
    title: str
    title_zh: str = ""
    build: str | None = None
    open: bool = False
    actions: tuple[Action, ...] = ()
    """Buttons below the controls."""
    receipt: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What a person sees, in English and Chinese, for the names in your `receipt()`, and for its texts as
    `"name=text"`. What is not in it is shown as it is."""
