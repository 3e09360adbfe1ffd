"""Before Gradio is imported: its environment variables dropped, telemetry off, a folder of its own."""

import os
from collections.abc import MutableMapping
from pathlib import Path

_UNWANTED = ("GRADIO_",)
"""Any of Gradio's variables could open folders, publish the page or start a second server: none is followed."""


def prepare_environment(cache: Path, environ: MutableMapping[str, str] = os.environ) -> None:
    """Drop Gradio's environment variables, switch telemetry off, and give Gradio a folder of its own.

    To be called before `modules.ui.shell` is imported: some are read on import. The default folder is shared by every Gradio program of the machine, and
    whatever lies in it is served.
    """
    for name in [name for name in environ if name.startswith(_UNWANTED)]:
        del environ[name]
    cache.mkdir(parents=True, exist_ok=True)
    cache.chmod(0o700)
    environ["GRADIO_TEMP_DIR"] = str(cache)
    environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environ["DO_NOT_TRACK"] = "1"
