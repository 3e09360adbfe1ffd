"""A new extension to begin with: it works, and its tests pass."""

from pathlib import Path

from modules.errors import ExtensionError
from modules.plugins.manifest import NAME

_FILES = {
    "extension.toml.txt": "extension.toml",
    "plugin.py.txt": "plugin.py",
    "adapter.py.txt": "adapter.py",
    "test.py.txt": "tests/test_@NAME@.py",
}


def write_skeleton(folder: Path, name: str) -> Path:
    """Write the extension `name` into `folder`; its own folder.

    Raises:
        ExtensionError: the name is none, or there is something of that name.
    """
    if not NAME.fullmatch(name):
        raise ExtensionError("error.extension.new_name", found=name[:80])
    place = folder / name
    if place.exists():
        raise ExtensionError("error.extension.new_exists", found=place)
    title = name.replace("_", " ").capitalize()
    for source, target in _FILES.items():
        text = (Path(__file__).parent / source).read_text(encoding="utf-8")
        path = place / target.replace("@NAME@", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@NAME@", name).replace("@TITLE@", title), encoding="utf-8")
    return place
