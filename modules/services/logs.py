"""What goes wrong, for whom: one line for the terminal, the traceback for the log file (or both with `verbose`).

Beside it, for programs, `journal` keeps all that happened.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from modules.services.journal import JOURNAL_FILE, JsonLines

LOG_FILE = Path("data") / "logs" / "noisette.log"
"""Below the data folder."""
_BYTES, _FILES = 2_000_000, 3
_STARTS = ("Traceback (most recent call last)", "+ Exception Group Traceback")
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


@contextlib.contextmanager
def logging_to(file: Path, *, hint: str, verbose: bool = False) -> Iterator[None]:
    """Send warnings and errors of this process to the terminal and, whole, to `file`; undone at the end.

    All that our own modules say goes as JSON lines into the journal beside it. `hint` follows a line whose traceback is in the file. Libraries that print tracebacks themselves are folded, too.
    """
    root, own = logging.getLogger(), logging.getLogger("modules")
    level = own.level
    log_file = _LogFile(file, _Whole())
    journal = _LogFile(file.with_name(JOURNAL_FILE.name), JsonLines())
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(_Whole() if verbose else _OneLine(hint))
    handlers: tuple[logging.Handler, ...] = (terminal, log_file)
    for handler in handlers:
        handler.setLevel(logging.WARNING)
        root.addHandler(handler)
    root.addHandler(journal)
    own.setLevel(logging.INFO)
    try:
        if verbose:
            yield
        else:
            with contextlib.redirect_stderr(TracebackFolder(sys.stderr, log_file, hint)):
                yield
    finally:
        own.setLevel(level)
        for handler in (*handlers, journal):
            root.removeHandler(handler)
        log_file.close()
        journal.close()


class TracebackFolder(io.TextIOBase):
    """A stream on which a traceback shows as its error alone; the rest goes to the log, other text passes."""

    def __init__(self, stream: IO[str], log: logging.Handler, hint: str) -> None:
        self._stream = stream
        self._log = log
        self._hint = hint
        self._line = ""
        self._inside = False
        self._ended = False
        self._told = False
        self._held: list[str] = []

    def write(self, text: str) -> int:
        """Take in some text; a line counts once it is whole, except where none is a traceback's."""
        if not self._inside and not self._line and not _is_part(text):
            self._stream.write(text)
            return len(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            # What comes with the error's own line is the rest of its message.
            if self._ended and not _is_part(line):
                self._held.append(line)
            else:
                self._take(line)
        if self._ended:
            self._close()
        return len(text)

    def flush(self) -> None:
        """Pass it on."""
        self._stream.flush()

    def isatty(self) -> bool:
        """As the stream behind."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """As the stream behind."""
        return self._stream.fileno()

    def _take(self, line: str) -> None:
        starts, chained = line.strip().startswith(_STARTS), line.startswith(_CHAINED)
        if not (self._inside or starts or chained):
            if line:
                self._stream.write(line + "\n")
            return
        if chained:
            self._close()
            self._told = True  # the error that began it was said already
            return
        self._inside = True
        self._held.append(line)
        if line.strip() and not line[0].isspace() and not starts:
            self._inside, self._ended = False, True
            if not self._told:
                self._stream.write(f"{line[:300]} {self._hint}\n")
            self._told = False

    def _close(self) -> None:
        text, self._held, self._ended = "\n".join(self._held), [], False
        if text:
            self._log.handle(logging.LogRecord("stderr", logging.ERROR, "", 0, text, None, None))


def _is_part(text: str) -> bool:
    return any(mark in text for mark in (*_STARTS, *_CHAINED))


class _OneLine(logging.Formatter):
    def __init__(self, hint: str) -> None:
        super().__init__()
        self._hint = hint

    def format(self, record: logging.LogRecord) -> str:
        first, _, rest = record.getMessage().partition("\n")
        more = f" {self._hint}" if rest or record.exc_info else ""
        return f"{record.levelname.lower()}: {first.rstrip(':')}{more}"


class _Whole(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _LogFile(RotatingFileHandler):
    """Made when there is something to write; where it cannot be written, the terminal's line has to do."""

    def __init__(self, file: Path, formatter: logging.Formatter) -> None:
        super().__init__(file, maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8", delay=True)
        self.setFormatter(formatter)

    def _open(self) -> io.TextIOWrapper:
        folder = Path(self.baseFilename).parent
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # as the queue's file has it
        folder.mkdir(exist_ok=True)
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: a disk that refuses the log refuses more important things, and those say so."""
