"""Where the pictures show: the canvas, and the strip of the visitor's pictures below it. `script.js` draws both."""

from modules.ui.bridge import bare
from modules.ui.fields import Tab


def build_canvas(tab: Tab) -> None:
    """The picture itself, or the job that makes it."""
    bare(f'<section id="{tab.id("canvas")}"></section>', elem_id=tab.id("stage"))


def build_cells(tab: Tab) -> None:
    """The table of a grid, which fills as its cells are done; `cells.js` draws it."""
    bare(f'<section id="{tab.id("cells")}"></section>', elem_id=tab.id("table"))


def build_strip(tab: Tab) -> None:
    """The newest pictures, small."""
    bare(f'<section id="{tab.id("strip")}"></section>')
