"""Where the page meets the web server, and where Gradio's defaults that we do not want are turned off."""

from typing import Any

import gradio as gr

from modules.ui.theme import NoisetteTheme

QUEUE_LOOK_SECONDS = 0.02


def mount(blocks: gr.Blocks, translations: gr.I18n, app: Any, *, max_upload: int) -> None:
    """Mount the page at "/" of a FastAPI app that already has its CORSMiddleware (then Gradio adds none)."""
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        app_kwargs={"openapi_url": None, "docs_url": None, "redoc_url": None},
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        blocked_paths=[],
        show_error=False,
        max_file_size=max_upload,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        i18n=translations,
        theme=NoisetteTheme(),
    )
    # Without this Gradio 6.31 skips its check of file paths in mounted apps and copies any local file that a request
    # names into its served folder. tests/api/test_file_data.py holds it shut.
    blocks.has_launched = True
    # Its queue looks every millisecond whether there is something to do, 8 % of a core of a page that nobody uses.
    blocks._queue.sleep_when_free = QUEUE_LOOK_SECONDS
