"""What the page's document needs besides Gradio: its files and the lines of its head."""

import html
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from modules.ui.theme import DARK, LIGHT, css_variables

SCRIPTS = (
    "script.js",
    "panel.js",
    "tables.js",
    "draft.js",
    "editor.js",
    "prompt.js",
    "receipts.js",
    "info.js",
    "plans.js",
    "cells.js",
    "written.js",
    "extensions.js",
    "share.js",
    "access.js",
)
"""In the order in which they are loaded; the first one stands alone, the others join it."""


def files(texts: Mapping[str, Mapping[str, str]], version: str) -> dict[str, bytes]:
    """The page's own files by name; small enough to be kept in memory."""
    folder = Path(__file__).parent
    words = json.dumps({"texts": texts, "version": version}, ensure_ascii=False)
    return {
        "texts.js": f"window.noisetteTexts = {words};".encode(),
        **{name: (folder / name).read_bytes() for name in SCRIPTS},
        "style.css": css_variables().encode() + (folder / "style.css").read_bytes(),
        "icon.svg": (folder / "icon.svg").read_bytes(),
    }


def head(address: Callable[[str], str]) -> str:
    """Lines for the document's head; `address` says where a file is served.

    Gradio adds its own `head` only once its program runs. Language and colours have to be known before that, or the
    page would be drawn twice.
    """

    def at(name: str) -> str:
        return html.escape(address(name), quote=True)

    light, dark = LIGHT["ground"], DARK["ground"]
    scripts = "".join(f'<script src="{at(name)}"></script>' for name in ("texts.js", *SCRIPTS))
    return (
        "<title>Noisette</title>"
        f'<meta name="theme-color" media="(prefers-color-scheme: light)" content="{light}">'
        f'<meta name="theme-color" media="(prefers-color-scheme: dark)" content="{dark}">'
        f'<link rel="icon" href="{at("icon.svg")}" type="image/svg+xml">'
        f'<link rel="stylesheet" href="{at("style.css")}">'
        f"{scripts}"
    )
