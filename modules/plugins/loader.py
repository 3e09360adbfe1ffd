"""Folder → imported extension.

All extensions of a folder live under one made-up parent package whose search path is that folder, so that each is an
ordinary package: relative imports work, equal file names of two extensions do not meet, and removing the parent's
entries from `sys.modules` undoes everything. Packages that were installed for one extension alone come after those
of the program in `sys.path`, so that they never stand in for one of ours.
"""

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType

from modules.plugins.entry import split_entry
from modules.plugins.requirements import FOLDER

PARENT = "noisette_extensions"


class ExtensionImporter:
    """Imports files of the extensions in one folder."""

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        self._package = f"{PARENT}_{digest}"
        self._folder = folder

    def load(self, extension: str, entry: str) -> object:
        """The object that `entry`, "file:name", names in `extension`; raises whatever the import raises."""
        file, name = split_entry(entry)
        if self._package not in sys.modules:
            parent = ModuleType(self._package)
            parent.__path__ = [str(self._folder)]
            sys.modules[self._package] = parent
        packages = self._packages(extension)
        if packages.is_dir() and str(packages) not in sys.path:
            sys.path.append(str(packages))
        importlib.invalidate_caches()
        module = importlib.import_module(f"{self._package}.{extension}.{file}")
        return getattr(module, name)

    def forget(self, extension: str | None = None) -> None:
        """Undo the imports of one extension, or of all."""
        prefix = self._package if extension is None else f"{self._package}.{extension}"
        for name in [
            name for name in list(sys.modules) if name == prefix or name.startswith(prefix + ".")
        ]:
            sys.modules.pop(
                name, None
            )  # an import that was cut takes its own back at the same time
        if extension is not None:
            parent = sys.modules.get(self._package)
            if parent is not None:
                vars(parent).pop(extension, None)
        for path in list(sys.path):
            if Path(path).name == FOLDER and (
                path == str(self._packages(extension))
                if extension is not None
                else Path(path).parent.parent == self._folder
            ):
                sys.path.remove(path)

    def _packages(self, extension: str) -> Path:
        return self._folder / extension / FOLDER
