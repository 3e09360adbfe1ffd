"""A tab of its own on the page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tab:
    """`build` names a function in the extension's own files, `"tab:build"`, called in the page's process.

    It is called as `build(t)`, or `build(t, host)`, inside the tab and lays out Gradio components; `t(en, zh)` gives
    a text in the
    visitor's language. The functions of its events run in the page's process: what raises there is shown with the
    extension's name, what takes longer than a minute is given up.

    With `guests` the tab is there for guests, too, once others can reach the program; functions that they may call
    carry the mark `for_guests`. Otherwise the tab is the owner's.
    """

    title: str
    title_zh: str = ""
    build: str = "tab:build"
    guests: bool = False
