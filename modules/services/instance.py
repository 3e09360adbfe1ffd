"""One program at a time runs the jobs of a data folder."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from modules.errors import UserError
from modules.services.disk import storage_errors, write_passing

LOCK_FILE = "instance.lock"
FACTS_FILE = "instance.json"


@dataclass(frozen=True)
class Holder:
    """Who holds a data folder; `url` is empty unless it serves a page."""

    pid: int = 0
    url: str = ""
    since: float = 0.0


class InstanceLock:
    """Held from start to end by `serve`, and by a command while it works itself; the system frees it at kill -9."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "data"
        self._lock = FileLock(self._folder / LOCK_FILE, thread_local=False)

    def acquire(self, url: str = "") -> Self:
        """Take the folder.

        Raises:
            UserError: another process holds it; names its pid.
            StorageError: the folder cannot be written.
        """
        with storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                holder = self.holder()
                # Without a page it is a command (txt2img) that works through the queue itself.
                key = "error.instance.taken" if holder.url else "error.instance.taken.command"
                raise UserError(
                    key, folder=self._folder.parent, pid=holder.pid or "?", url=holder.url
                ) from error
            self.tell(url)
        return self

    def tell(self, url: str) -> None:
        """Write down where our page is, for others who find the folder taken."""
        facts = Holder(os.getpid(), url, time.time())
        with storage_errors(self._folder):
            write_passing(self._folder / FACTS_FILE, json.dumps(asdict(facts)).encode())

    def release(self) -> None:
        """Give the folder back."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def holder(self) -> Holder:
        """What the last one that took the folder wrote down."""
        try:
            return Holder(**json.loads((self._folder / FACTS_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Holder()
