"""The Extensions tab: a line for each extension, and the way to bring, change and remove one."""

from modules.ui.bridge import bare


def build() -> None:
    """Lay the tab out; `extensions.js` fills it, because the lines follow the visitor's language."""
    bare(
        '<section id="nz-extensions" class="nz-page" aria-labelledby="nz-extensions-title">'
        '<h2 id="nz-extensions-title" data-t="extensions.title"></h2>'
        '<p class="nz-muted" data-t="extensions.about"></p>'
        '<div id="nz-extension-said" role="status"></div>'
        '<div id="nz-extension-list"></div>'
        '<div id="nz-extension-install"></div></section>'
    )
