"""The environment in which pictures are made: no network, no remote code, no secrets, no telemetry."""

import os
from collections.abc import Mapping, MutableMapping

_SCRUBBED = ("TORCH_FORCE_NO_WEIGHTS_ONLY", "GRADIO_", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "DIFFUSERS_DISABLE_REMOTE_CODE": "1",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the worker: no network, no remote code, no secrets, no telemetry."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_SCRUBBED)}
    return {**kept, **_OFFLINE}


def harden(environ: MutableMapping[str, str] = os.environ) -> None:
    """Give this process the worker's environment, where it makes pictures itself; before torch is imported."""
    for name in [name for name in environ if name.startswith(_SCRUBBED)]:
        del environ[name]
    environ.update(_OFFLINE)
