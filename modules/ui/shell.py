"""The page as a whole: header, tabs, and the wire to `script.js`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.plugins.manager import MountedPanel, Plugins
from modules.texts import LANGUAGES
from modules.ui import document, extensions, guests, img2img, png_info, queue, txt2img
from modules.ui.bridge import bare, make_bridge
from modules.ui.environment import prepare_environment
from modules.ui.fields import Texts
from modules.ui.i18n import gradio_translations, page_texts, t
from modules.ui.mount import mount
from modules.ui.tabs import OwnTabs, build_tabs
from modules.ui.visitor import Visitors

if TYPE_CHECKING:
    from modules.services.front import Studio

_HEADER = """
<header id="nz-header">
  <a id="nz-skip" href="#nz-prompt" data-t="skip"></a>
  <div id="nz-brand"><img src="./ui/icon.svg" alt="" width="28" height="28"><h1>Noisette</h1></div>
  <div id="nz-tools">
    <span id="nz-connection" role="status"></span>
    <button type="button" id="nz-counter" data-label="queue.open"></button>
    <button type="button" id="nz-language"></button>
    <button type="button" id="nz-theme"></button>
  </div>
</header>
<div id="nz-live" class="nz-unseen" role="status" aria-live="polite"></div>
"""
_OWNERS_TABS = ("extensions",)
_DIALOG = '<dialog id="nz-lightbox"></dialog>'


class Page:
    """The page; `modules.api.server` prepares, builds and mounts it, in this order, once."""

    visitors = Visitors()

    def __init__(self, studio: "Studio", plugins: Plugins, version: str) -> None:
        self.version = version
        self._studio = studio
        self._plugins = plugins
        self._blocks: gr.Blocks | None = None
        self._own_tabs = OwnTabs({}, frozenset())
        self._own_texts: Texts = {}

    def prepare(self, cache: Path) -> None:
        """Give Gradio its surroundings: its files go into `cache`."""
        prepare_environment(cache)

    def build(self) -> None:
        """Lay everything out."""
        # Uploads and copies that Gradio makes are swept hourly when they are a day old.
        with gr.Blocks(
            title="Noisette", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)
        ) as blocks:
            bare(_HEADER, elem_id="nz-top")
            wires = {tab.name: make_bridge(tab.name) for tab in (txt2img.TAB, img2img.TAB)}
            with gr.Tabs(elem_id="nz-tabs"):
                with gr.Tab(t("tab.txt2img"), id="txt2img"):
                    first = txt2img.build(self._studio, self._plugins, wires["txt2img"], blocks)
                # Its fields stand from the beginning: pictures are sent to it before it was ever opened.
                with gr.Tab(t("tab.img2img"), id="img2img", render_children=True):
                    second = img2img.build(self._studio, self._plugins, wires["img2img"], blocks)
                with gr.Tab(t("tab.pnginfo"), id="pnginfo"):
                    png_info.build()
                with gr.Tab(t("tab.queue"), id="queue"):
                    queue.build()
                with gr.Tab(t("tab.extensions"), id="extensions"):
                    extensions.build()
                self._own_tabs = build_tabs(self._plugins, blocks)
                self._own_texts = {
                    language: {
                        **first[language],
                        **second[language],
                        **self._own_tabs.texts[language],
                    }
                    for language in LANGUAGES
                }
            bare(_DIALOG)
        guests.lock(blocks)
        self._blocks = blocks

    @property
    def blocks(self) -> gr.Blocks:
        """What `build` has laid out."""
        if self._blocks is None:
            raise RuntimeError("the page is not built yet")
        return self._blocks

    def mount(self, app: Any, *, max_upload: int) -> None:
        """Mount it at "/" of a FastAPI app."""
        mount(
            self.blocks,
            gradio_translations(self._panels(), self._own_texts),
            app,
            max_upload=max_upload,
        )

    def files(self) -> Mapping[str, bytes]:
        """The page's own files by name."""
        texts = {language: page_texts(language, self._panels()) for language in LANGUAGES}
        return document.files(texts, self.version)

    def head(self, address: Callable[[str], str]) -> str:
        """Lines for the head of the document."""
        return document.head(address)

    def for_guests(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Gradio's description of the page, with what is the owner's taken out."""
        return guests.without(config, {*_OWNERS_TABS, *self._own_tabs.owners})

    def _panels(self) -> tuple[MountedPanel, ...]:
        # Asked for after `build`: an extension whose panel failed has left the list by then.
        return tuple(
            {
                panel.extension: panel
                for tab in (txt2img.TAB, img2img.TAB)
                for panel in self._plugins.panels(tab.name)
            }.values()
        )


def build_page(studio: "Studio", plugins: Plugins, version: str) -> Page:
    """The page of this program; nothing is laid out or served yet."""
    return Page(studio, plugins, version)
