"""Folder → imported extension, without touching `sys.path`.

All extensions of a folder live under one made-up parent package whose search path is that folder, so that each is an
ordinary package: relative imports work, equal file names of two extensions do not meet, and removing the parent's
entries from `sys.modules` undoes everything.
"""

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType

PARENT = "noisette_extensions"


class ExtensionImporter:
    """Imports files of the extensions in one folder."""

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        self._package = f"{PARENT}_{digest}"
        self._folder = folder

    def load(self, extension: str, file: str, name: str) -> object:
        """The object `name` of `<extension>/<file>.py`; raises whatever the import raises."""
        if self._package not in sys.modules:
            parent = ModuleType(self._package)
            parent.__path__ = [str(self._folder)]
            sys.modules[self._package] = parent
        module = importlib.import_module(f"{self._package}.{extension}.{file}")
        return getattr(module, name)

    def forget(self, extension: str | None = None) -> None:
        """Undo the imports of one extension, or of all."""
        prefix = self._package if extension is None else f"{self._package}.{extension}"
        for name in [
            name for name in sys.modules if name == prefix or name.startswith(prefix + ".")
        ]:
            del sys.modules[name]
