"""The Queue tab: what waits, what runs, what is done. `script.js` fills it and follows the jobs."""

from modules.ui.bridge import bare


def build() -> None:
    """Lay the tab out; called inside its `gr.Tab`."""
    bare(
        '<section id="nz-queue" class="nz-page" aria-labelledby="nz-queue-title">'
        '<h2 id="nz-queue-title" data-t="queue.title"></h2>'
        '<p class="nz-muted" data-t="queue.about"></p>'
        '<div id="nz-jobs"></div></section>'
    )
