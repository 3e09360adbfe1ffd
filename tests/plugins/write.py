"""Writes small extensions for tests."""

from pathlib import Path

MANIFEST = """
name = "{name}"
title = "{name}"
version = "{version}"
noisette = ">=0.1"
plugin = "plugin:Extension"
"""

ECHO = """
from modules.plugins import Options, Panel, hookimpl

class EchoOptions(Options):
    loudness: int = 3

class Finisher:
    order = 5
    def __init__(self, loudness):
        self.loudness = loudness
    def finish(self, image, request, index):
        return image.resize((image.width + self.loudness, image.height))

class Extension:
    heard = []
    @hookimpl
    def register_options(self):
        return EchoOptions
    @hookimpl
    def register_panels(self):
        return [Panel(tab="txt2img", title="Echo")]
    @hookimpl
    def register_finishers(self, options):
        return [Finisher(options.loudness)]
    @hookimpl
    def on_event(self, event):
        self.heard.append(event)
"""


def write(
    folder: Path, name: str, code: str, *, more: str = "", version: str = "1.0.0", **files: str
) -> Path:
    """`folder/name` with a manifest, `plugin.py` and further Python files; what is there is replaced."""
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    manifest = MANIFEST.format(name=name, version=version) + more
    (path / "extension.toml").write_text(manifest, encoding="utf-8")
    (path / "plugin.py").write_text(code, encoding="utf-8")
    for file, text in files.items():
        (path / f"{file}.py").write_text(text, encoding="utf-8")
    return path
