"""How large, how slowly and how many: what is asked of bodies, and how many are answered at once."""

import asyncio
import json
import math
from typing import Any

import pytest

from modules.api.body import Body, Pace, Paces, Pool
from modules.api.crowd import Crowd
from modules.api.guard import Guard
from modules.services.access import Role

QUICK = Pace(grace=0.05, rate=1e9)


class Sender:
    """Sends these pieces, and then nothing more."""

    def __init__(self, *pieces: bytes, more: bool = True) -> None:
        self.left = [{"type": "http.request", "body": each, "more_body": True} for each in pieces]
        if not more and self.left:
            self.left[-1]["more_body"] = False

    async def __call__(self) -> Any:
        if self.left:
            return self.left.pop(0)
        await asyncio.Event().wait()


def test_the_more_has_come_the_longer_it_may_take():
    pace = Paces().guest
    assert pace.left(0.0, 0) == 60.0
    assert pace.left(50.0, 10_000_000) == 1010.0  # ten megabytes at ten kilobytes a second
    assert pace.left(61.0, 5_000) == 0.0
    assert Paces().owner.left(1e9, 0) == 300.0, "only silence ends the owner's"
    assert Pace().left(1e9, 0) is None
    assert Paces().anybody.left(0.0, 0) == 10.0
    assert [Paces().of(role).silent for role in Role] == [math.inf, math.inf, 300.0]


def test_who_stops_sending_is_given_up():
    async def test() -> None:
        body = Body(Sender(b"a", b"b"), 100, QUICK, None)
        assert (await body())["body"] == b"a"
        assert (await body())["body"] == b"b"
        assert await body() == {"type": "http.disconnect"} and body.refused == 408
        assert await body() == {"type": "http.disconnect"}

    asyncio.run(test())


def test_who_has_sent_all_may_wait_for_the_answer():
    async def test() -> None:
        body = Body(Sender(b"a", more=False), 100, QUICK, None)
        assert (await body())["body"] == b"a" and body.whole
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await body()
        assert body.refused is None

    asyncio.run(test())


def test_what_guests_send_fits_into_memory():
    async def test() -> None:
        pool = Pool(10)
        first = Body(Sender(b"a" * 8), 100, QUICK, pool)
        second = Body(Sender(b"b" * 8), 100, QUICK, pool)
        owner = Body(Sender(b"c" * 80), 100, QUICK, None)
        assert len((await first())["body"]) == 8
        assert await second() == {"type": "http.disconnect"} and second.refused == 503
        assert len((await owner())["body"]) == 80
        first.close()
        first.close()
        second.close()
        assert pool.taken == 0
        third = Body(Sender(b"d" * 8), 100, QUICK, pool)
        assert len((await third())["body"]) == 8

    asyncio.run(test())


def asked(guard: Guard, receive: Any) -> tuple[int, Any, dict[bytes, bytes]]:
    """What the guard answers a POST."""
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/x", "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1:7860")],
    }  # fmt: skip
    asyncio.run(guard(scope, receive, send))
    start, *rest = said
    text = b"".join(each["body"] for each in rest)
    return start["status"], json.loads(text), dict(start["headers"])


async def reads_all(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def guard(**changes: Any) -> Guard:
    return Guard(reads_all, host="127.0.0.1", port=7860, max_body=1000, **changes)


def test_it_is_answered_in_both_languages():
    slow = Paces(owner=QUICK)
    status, said, headers = asked(guard(paces=slow), Sender(b"a"))
    assert (status, said["error"]["key"]) == (408, "error.api.slow")
    assert said["error"].keys() >= {"en", "zh"} and headers[b"connection"] == b"close"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert asked(guard(paces=slow), Sender(b"a", more=False))[0] == 200


def test_an_application_that_breaks_at_it_changes_nothing():
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        raise RuntimeError("the client has left")

    made = Guard(breaks, host="127.0.0.1", port=7860, max_body=1000, paces=Paces(owner=QUICK))
    assert asked(made, Sender(b"a"))[0] == 408
    with pytest.raises(RuntimeError):
        asked(made, Sender(b"a", more=False))


def test_how_many_are_answered_at_once():
    crowd = Crowd(of_one_guest=2, of_guests=3, of_strangers=1)
    names = ("a", "a", "a", "b", "c")
    assert [crowd.enter(Role.GUEST, name) for name in names] == [None, None, 2, None, 3]
    assert [crowd.enter(Role.ANYBODY, "x"), crowd.enter(Role.ANYBODY, "y")] == [None, 1]
    assert {crowd.enter(Role.OWNER, "") for _ in range(1000)} == {None}
    crowd.leave(Role.GUEST, "a")
    crowd.leave(Role.ANYBODY, "x")
    crowd.leave(Role.OWNER, "")
    assert (crowd.enter(Role.GUEST, "c"), crowd.enter(Role.ANYBODY, "y")) == (None, None)
