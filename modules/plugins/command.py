"""A command that an extension adds: `noisette extensions run <extension> <command> …`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modules.schema import GenerationRequest, Postprocess


@dataclass(frozen=True)
class Command:
    """`run` names a function in the extension's own files, `"commands:merge"`, called in the terminal's process.

    It is called as `run(words, host)` with the words that stand after the command's name, and returns the text that is
    shown; `problem(en, zh)` refuses. `usage` is one line: the words that it takes. One that takes `queue` too is handed
    a `Queue`, to have pictures made.

    `top`: it is also there as `noisette <name> …`, unless the program itself has a command of that name.
    """

    name: str
    title: str
    title_zh: str = ""
    usage: str = ""
    run: str = "commands:run"
    top: bool = False


class Queue(Protocol):
    """The queue of this installation, as a command sees it."""

    def keep(self, data: bytes, name: str) -> Postprocess:
        """Hand a picture in (the bytes of a PNG, JPEG or WebP file): its id, by which requests name it, and its text.

        Raises:
            UserError: it is no such picture, damaged, or too large.
        """

    def check_target(self, target: str) -> None:
        """Look whether pictures can be written to `target` (a folder, or a file whose suffix names the format).

        Raises:
            UserError: they cannot.
        """

    def save(self, picture: Path, target: str, stem: str) -> Path:
        """Copy a picture to `target`: into a folder as `stem`, or to the file that it names; where it is now.

        Raises:
            UserError: what was found there.
        """

    def run(self, request: GenerationRequest) -> Sequence[Path]:
        """Have a job done and wait, with a progress bar; the files of its pictures.

        Raises:
            UserError: what is wrong with the request, or what became of the job.
        """
