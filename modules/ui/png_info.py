"""The PNG info tab: what a picture says of itself, and the way back into the other tabs. `info.js` fills it."""

from modules.ui.bridge import bare


def build() -> None:
    """Lay the tab out; called inside its `gr.Tab`."""
    bare(
        '<section id="nz-info" class="nz-page" aria-labelledby="nz-info-title">'
        '<h2 id="nz-info-title" data-t="info.title"></h2>'
        '<p class="nz-muted" data-t="info.about"></p>'
        '<div id="nz-info-body"></div></section>'
    )
