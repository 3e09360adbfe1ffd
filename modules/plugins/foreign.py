"""Addresses of an extension's HTTP API outside `/extensions/<name>/`, where clients of the field look for it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modules.schema import GenerationRequest

RESERVED = ("api", "ui", "files", "extensions", "gradio_api", "assets", "static", "theme", "login")
"""First parts of addresses that are the program's own."""

_PATH = re.compile(r"(?:/[A-Za-z0-9._{}:-]+){2,6}")


@dataclass(frozen=True)
class ForeignRoutes:
    """`build` names a function in the extension's own files that returns a FastAPI router with exactly `paths`.

    `paths` are whole addresses such as `/controlnet/model_list` or `/sdapi/v1/loras`; they are declared so that it is
    known before any code runs what may be asked for. Write the functions with `def`. A `UserError` is answered with
    422 and `{"detail": …}`, as the field does. A builder that takes `host` is handed its own, one that takes
    `queue` a `ServerQueue`, to have pictures made. An answer that takes longer than `seconds` is given up.
    """

    paths: tuple[str, ...]
    build: str = "api:foreign"
    seconds: float = 60.0

    def check(self) -> None:
        """Refuse addresses that cannot be given away.

        Raises:
            ValueError: says which.
        """
        if not self.paths:
            raise ValueError("the list of addresses is empty")
        for path in self.paths:
            if not _PATH.fullmatch(path) or ".." in path or path.split("/")[1] in RESERVED:
                raise ValueError(f"the address {path!r} cannot be an extension's")


class ServerQueue(Protocol):
    """The queue of the running server, as the routes of an extension see it; each call may wait, so call it in `def`."""

    def keep(self, image: str, caller: Any = None) -> str:
        """Hand in a picture as clients send it (base64 or a `data:` address); its id, by which requests name it.

        `caller` is FastAPI's `Request`: a guest may name those pictures alone that were handed in as his.

        Raises:
            UserError: it is no picture, damaged, or too large.
        """

    def check(self, name: str, caller: Any) -> None:
        """Whether `caller` (FastAPI's `Request`) may have the picture of that id, before `Host.open_picture` opens it.

        Raises:
            UserError: he has handed in none of that id.
        """

    def run(self, request: GenerationRequest, caller: Any) -> Sequence[Path]:
        """Have a job done as one of `caller` (FastAPI's `Request`) and wait; the files of its pictures.

        Raises:
            UserError: what is wrong with the request, or what became of the job.
        """
