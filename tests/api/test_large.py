"""A body that is too large, over a real connection: whoever sends it learns why, and nobody is read from for ever."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.responses import JSONResponse

from modules.api import guard
from modules.api.guard import Guard
from modules.api.server import listen

MOST = 2**20
SECONDS = 120


async def length(scope, receive, send):
    """Answers how much it was sent."""
    if scope["type"] == "lifespan":
        return
    seen = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        seen += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await JSONResponse({"seen": seen})(scope, receive, send)


@pytest.fixture
def port() -> Iterator[int]:
    with listen("127.0.0.1", 0) as sock:
        number = sock.getsockname()[1]
        app = Guard(length, host="127.0.0.1", port=number, max_body=MOST)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield number
        running.should_exit = True
        thread.join(30)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no reason to be cut off, where that is not what is tried."""
    monkeypatch.setattr(guard, "_REST_SECONDS", float(SECONDS))


def ask(port: int, body, headers: dict[str, str] | None = None) -> tuple[int, dict, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("POST", "/sdapi/v1/txt2img", body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers.get("connection", "")
    finally:
        connection.close()


def pieces(count: int, size: int = 64 * 1024) -> Iterator[bytes]:
    for _ in range(count):
        yield b"x" * size


@pytest.mark.parametrize("way", ["length", "chunked", "chunked, in large pieces"])
def test_it_is_told_why_after_all_was_sent(port: int, way: str):
    body = {
        "length": lambda: b"x" * (16 * MOST),
        "chunked": lambda: pieces(256),
        "chunked, in large pieces": lambda: pieces(4, 4 * MOST),
    }[way]()
    status, told, connection = ask(port, body)
    assert (status, connection) == (413, "close")
    assert told["error"]["key"] == "error.api.too_large"
    assert told["detail"] == told["error"]["message"] == told["error"]["en"]
    assert "1 MB" in told["detail"] and "1 MB" in told["error"]["messages"]["zh"]
    # And the next one is served.
    assert ask(port, b"x" * MOST)[:2] == (200, {"seen": MOST})
    assert ask(port, pieces(16))[:2] == (200, {"seen": MOST})


def read(sock: socket.socket) -> bytes:
    """Everything until the connection ends, however it ends."""
    found = b""
    try:
        while data := sock.recv(65536):
            found += data
    except ConnectionError:
        pass
    return found


def test_who_asks_first_is_told_at_once(port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        head = f"POST / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nexpect: 100-continue\r\ncontent-length: {2 * MOST}\r\n\r\n"
        sock.sendall(head.encode())
        answer = read(sock)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"100 Continue" not in answer


def test_no_more_is_read_than_is_fair(port: int, monkeypatch: pytest.MonkeyPatch):
    """Who never ends is cut off, after so much or so long."""
    monkeypatch.setattr(guard, "_REST", 2 * MOST)
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        sock.sendall(
            f"POST / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {10**12}\r\n\r\n".encode()
        )
        try:
            while sent < 1000 * MOST:
                sock.sendall(b"x" * 65536)
                sent += 65536
        except ConnectionError:
            pass
    # What the two buffers of a connection hold comes on top.
    assert sent < 100 * MOST


def test_who_stops_sending_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "_REST_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        sock.sendall(
            f"POST / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {2 * MOST}\r\n\r\nx".encode()
        )
        answer = read(sock)  # it ends: the server closes
    assert answer.startswith(b"HTTP/1.1 413") and answer.rstrip().endswith(b"}")
