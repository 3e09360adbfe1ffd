"""Connections that ask for nothing, or do not fetch what they asked for, are ended; those that work are not."""

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from modules.api import connections
from modules.api.connections import Bounds, Connection, Room, Server
from modules.api.server import listen

BOUNDS = Bounds(total=4, of_one=2)
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ELSEWHERE = "192.168.1.9"


class Wire:
    """A transport whose other end does what the test says."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.waiting = 0
        self.gone = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": (self.peer, 5000), "sockname": ("127.0.0.1", 7860)}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.gone

    def abort(self) -> None:
        self.gone = True

    close = abort

    def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Clock:
    """A loop as far as a connection needs one; its time is what the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def call_later(self, *_: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(3600, lambda: None)

    def create_task(self, work: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)


class House:
    """A server without a socket; `answer` lets what was asked be answered."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.clock = Clock()
        self.bounds = bounds
        self.room = Room(bounds)
        self.state = ServerState()
        self.config = uvicorn.Config(
            self._app, interface="asgi3", log_config=None, lifespan="off", proxy_headers=False
        )
        self.may_answer = asyncio.Event()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    def opened(self, peer: str = "127.0.0.1") -> tuple[Connection, Wire]:
        wire = Wire(peer)
        made = Connection(self.config, self.state, {}, cast(Any, self.clock), room=self.room)
        made.connection_made(cast(Any, wire))
        return made, wire

    async def answer(self) -> None:
        self.may_answer.set()
        await asyncio.gather(*self.state.tasks)

    def later(self, seconds: float, *looked_at: Connection) -> None:
        self.clock.now += seconds
        for each in looked_at:
            each.look(self.clock.now)


def run(test: Any) -> None:
    asyncio.run(test())


def test_a_head_that_never_ends():
    async def test() -> None:
        house = House()
        slow, wire = house.opened()
        slow.data_received(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(19):
            house.later(1.0, slow)
            slow.data_received(b"a")
        assert not wire.gone
        house.later(1.0, slow)
        assert wire.gone

    run(test)


def test_one_that_says_nothing_and_one_that_has_been_answered():
    async def test() -> None:
        house = House()
        silent, wire = house.opened()
        working, other = house.opened()
        working.data_received(REQUEST)
        await asyncio.sleep(0)
        house.later(20.0, silent, working)
        assert wire.gone and not other.gone
        house.later(100_000.0, working)  # a stream of events takes as long as it takes
        assert not other.gone
        await house.answer()
        house.later(19.0, working)
        working.data_received(b"GET")  # the next request is begun, and not ended
        assert not other.gone
        house.later(1.0, working)
        assert other.gone

    run(test)


def test_an_answer_that_nobody_fetches():
    async def test() -> None:
        house = House()
        stuck, wire = house.opened()
        slow, other = house.opened()
        for each in (stuck, slow):
            each.data_received(REQUEST)
        await house.answer()
        wire.waiting = other.waiting = 10**6
        for _ in range(30):  # half an hour
            house.later(60.0, stuck, slow)
            other.waiting -= BOUNDS.stall_bytes // 2 * 3  # slowly, but it comes
            other.waiting = max(other.waiting, 1)
            if wire.gone:
                break
        assert wire.gone and not other.gone

    run(test)


def test_a_slow_download_is_not_cut():
    async def test() -> None:
        house = House()
        slow, wire = house.opened()
        slow.data_received(REQUEST)
        await house.answer()
        wire.waiting = 100 * BOUNDS.stall_bytes
        while wire.waiting:
            house.later(1.0, slow)
            wire.waiting -= BOUNDS.stall_bytes // 16
            assert not wire.gone
        house.later(BOUNDS.head_seconds - 1, slow)
        assert not wire.gone  # from now on the next request is awaited, and not from before

    run(test)


def test_whoever_asks_for_nothing_makes_room():
    async def test() -> None:
        house = House()
        first, wire = house.opened()
        house.later(1.0)
        _, other = house.opened()
        first.data_received(REQUEST)
        for _ in range(2):
            house.later(1.0)
            house.opened()
        house.later(1.0)
        _, newest = house.opened()
        assert (wire.gone, other.gone, newest.gone) == (False, True, False)
        await house.answer()

    run(test)


def test_where_all_are_at_work_the_new_one_goes(caplog: pytest.LogCaptureFixture):
    async def test() -> None:
        house = House()
        working = [house.opened() for _ in range(4)]
        for each, _ in working:
            each.data_received(REQUEST)
        for _ in range(3):
            assert house.opened()[1].gone
        assert not any(wire.gone for _, wire in working)
        await house.answer()

    run(test)
    assert sum("all 4 connections" in record.getMessage() for record in caplog.records) == 1


def test_from_one_address_elsewhere_only_so_many():
    async def test() -> None:
        house = House(Bounds(total=100, of_one=2))
        here = [house.opened(peer) for peer in ("127.0.0.1", "::1") for _ in range(5)]
        there = [house.opened(ELSEWHERE) for _ in range(2)]
        for each, _ in there:
            each.data_received(REQUEST)
        assert house.opened(ELSEWHERE)[1].gone and not house.opened("192.168.1.10")[1].gone
        assert not any(wire.gone for _, wire in here + there)
        await house.answer()
        # Both have waited as long by now: either may make room.
        assert not house.opened(ELSEWHERE)[1].gone
        assert sum(wire.gone for _, wire in there) == 1

    run(test)


def test_as_many_as_there_may_be_files(monkeypatch: pytest.MonkeyPatch):
    for files, most in ((2048, 1000), (256, 156), (64, 16)):
        monkeypatch.setattr(connections, "_files", lambda files=files: files)
        assert Bounds.of_this_process().total == most
    monkeypatch.undo()
    assert connections._files() >= 64


def test_a_running_server_looks_at_its_connections():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    # Longer than a busy machine lets this thread wait between two lines.
    room = Room(Bounds(head_seconds=5.0))

    def made(**given: Any) -> Connection:
        return Connection(room=room, **given)

    with listen("127.0.0.1", 0) as sock:
        config = uvicorn.Config(app, http=cast(Any, made), log_config=None, lifespan="off")
        server = Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        with socket.create_connection(sock.getsockname(), timeout=60) as one:
            one.sendall(REQUEST)
            assert one.recv(1000).startswith(b"HTTP/1.1 204")
            with contextlib.suppress(ConnectionError):  # ended so, or before the piece was sent
                one.sendall(b"GET / HT")
                assert one.recv(1000) == b""
        server.should_exit = True
        end = time.monotonic() + 60
        while thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        assert not thread.is_alive()
