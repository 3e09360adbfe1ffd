"""What waits, and what takes long, leaves the server's threads to the page."""

import asyncio
import threading
from typing import Any

from anyio import to_thread

from modules.api.threads import Aside, place_lent

SECONDS = 60.0


async def until(condition: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


class Work:
    """Begins, and ends when it may; how many are at it, and how many were at the most."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go_on.wait(SECONDS)
        with self._lock:
            self.now -= 1
        return 7


def test_work_aside_takes_its_own_threads_alone():
    async def test() -> None:
        work, aside = Work(), Aside(3)
        to_thread.current_default_thread_limiter().total_tokens = 1
        waiting = [asyncio.create_task(aside(work)) for _ in range(20)]
        await until(lambda: work.now == 3)
        async with asyncio.timeout(SECONDS):
            assert await to_thread.run_sync(lambda: "the page") == "the page"
        work.go_on.set()
        assert await asyncio.gather(*waiting) == [7] * 20
        assert work.most == 3

    asyncio.run(test())


def test_it_serves_one_loop_after_another():
    aside = Aside(2)
    for _ in range(2):
        assert asyncio.run(aside(lambda: 5)) == 5


def test_who_waits_lends_his_place():
    async def test() -> None:
        limiter = to_thread.current_default_thread_limiter()
        limiter.total_tokens = 2
        work = Work()

        def waits() -> None:
            with place_lent():
                work()

        waiting = [asyncio.create_task(to_thread.run_sync(waits)) for _ in range(20)]
        await until(lambda: work.now == 20)
        async with asyncio.timeout(SECONDS):
            assert await to_thread.run_sync(lambda: "the page") == "the page"
        work.go_on.set()
        await asyncio.gather(*waiting)
        await until(lambda: limiter.total_tokens == 2)

    asyncio.run(test())


def test_there_is_an_end_to_lending(monkeypatch):
    monkeypatch.setattr("modules.api.threads.USUAL", 1)
    monkeypatch.setattr("modules.api.threads.MOST_LENT", 2)

    async def test() -> None:
        limiter = to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        work = Work()

        def waits() -> None:
            with place_lent():
                work()

        waiting = [asyncio.create_task(to_thread.run_sync(waits)) for _ in range(10)]
        await until(lambda: work.now == 3)
        assert limiter.total_tokens == 3
        work.go_on.set()
        await asyncio.gather(*waiting)
        await until(lambda: limiter.total_tokens == 1)
        assert work.most == 3

    asyncio.run(test())


def test_in_any_other_thread_nothing_is_lent():
    with place_lent():
        pass
