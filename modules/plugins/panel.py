"""What an extension mounts on a tab."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One accordion on one tab.

    `build` may name a function in the extension's own files, `"panel:build"`: called in the page's process inside the
    accordion, it makes Gradio components and returns them by option name. Without it the page makes a control for each
    field of the options.
    """

    tab: str
    title: str
    title_zh: str = ""
    build: str | None = None
    open: bool = False
