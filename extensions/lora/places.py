"""Where the extension keeps files of its own."""

from pathlib import Path

from modules.plugins import Host


def blends_folder(host: Host) -> Path:
    """Saved blends, one JSON file each."""
    return host.data / "blends"
