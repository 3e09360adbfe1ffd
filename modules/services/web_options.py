"""Values that programs set through `/sdapi/v1/options`, kept over restarts: defaults of that API alone, not of the page."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from modules.services.disk import Disk, storage_errors, write_whole


class WebOptions:
    """One small file of names and values. Safe to use from any thread."""

    def __init__(self, file: Path, disk: Disk | None = None) -> None:
        self._file = file
        self._disk = disk or Disk()
        self._lock = threading.Lock()

    def read(self) -> Mapping[str, JsonValue]:
        """What was set; a file that is not there or damaged sets nothing."""
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def set(self, values: Mapping[str, JsonValue]) -> None:
        """Set some; None takes a value back.

        Raises:
            StorageError: the disk refuses; nothing has changed then.
        """
        with self._lock:
            merged = {**self.read(), **values}
            kept = {name: value for name, value in merged.items() if value is not None}
            with storage_errors(self._file):
                data = json.dumps(kept, indent=1).encode("ascii")
                write_whole(self._file, data, self._disk)
