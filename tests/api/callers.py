"""What the tests of both APIs share: who calls, and the application on a port of this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from modules.api.server import listen
from modules.ui.visitor import Visitors

ANNA, BERT = "a" * 32, "b" * 32
PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Face:
    """What the API asks of the page."""

    version: str = "0.1.0"
    visitors: type[Visitors] = Visitors


@dataclass
class Callers:
    """An application and the programs that speak to it."""

    app: Any
    clients: list[TestClient] = field(default_factory=list, kw_only=True)

    def client(self, visitor: str = ANNA, peer: str = "127.0.0.1") -> TestClient:
        """A program of that visitor's, at that address."""
        made = TestClient(
            self.app,
            base_url="http://127.0.0.1:7860",
            cookies={"noisette_visitor": visitor} if visitor else {},
            client=(peer, 5000),
            raise_server_exceptions=False,
        )
        self.clients.append(made)
        return made

    def leave(self) -> None:
        """They have no more to say."""
        for client in self.clients:
            client.close()


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """`app` on a free port of this machine; the port."""
    with listen("127.0.0.1", 0) as sock:
        running = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield sock.getsockname()[1]
        running.should_exit = True
        thread.join(10)
