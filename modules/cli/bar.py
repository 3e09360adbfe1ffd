"""A progress bar on the terminal."""

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.services.front import Studio


class Bar:
    """A progress bar on a terminal; nothing where stderr is a file."""

    def __init__(self, stream: Any, quiet: bool) -> None:
        self._stream = stream
        self._shown = stream.isatty() and not quiet
        self._quiet = quiet

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._draw("")

    def note(self, text: str) -> None:
        if not self._quiet:
            print(text, file=self._stream)

    @contextlib.contextmanager
    def following(self, studio: "Studio", job_id: int) -> Iterator[None]:
        done = threading.Event()
        thread = threading.Thread(target=self._follow, args=(studio, job_id, done), daemon=True)
        if self._shown:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if self._shown:
                thread.join(2.0)

    def _follow(self, studio: "Studio", job_id: int, done: threading.Event) -> None:
        version = -1
        while not done.is_set():
            version = studio.watch(version, 0.5)
            if done.is_set():
                return
            now = studio.progress(job_id)
            filled = round(30 * now.fraction)
            eta = f" {now.eta:.0f} s" if now.eta is not None else ""
            stage = now.stage.value if now.stage else now.state.value
            self._draw(f"[{'#' * filled}{'.' * (30 - filled)}] {stage} {now.step}/{now.steps}{eta}")

    def _draw(self, text: str) -> None:
        if self._shown:
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
