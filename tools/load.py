"""Many clients at once against the whole program, with an engine that paints the seed: is anything lost, crossed, slow?

    python tools/load.py [--clients 50] [--seconds 60] [--pause 1.0]
    python tools/load.py --waiting 1000

The program runs in a process of its own (guard, page, extensions, API, queue, SQLite, files; the worker is a process
with the fake engine of the tests), on loopback and a data folder for the occasion. Each client is a visitor: it submits
a job with a seed of its own, looks at its jobs, its pictures, the models and the health, and pauses. They come one after
the other within the first pause, as people do. When all are done the queue runs dry, and every client's jobs and
pictures are compared with what it submitted: the colour of a picture is its seed.

With `--waiting` nothing gets done: one client puts so many jobs into the queue behind one that does not end, looks at
pages of them, and cancels all. What counts is whether the last hundred took longer than the first, and what memory grew.

Prints JSON; the exit status is 1 when something was lost, doubled or crossed, or a request that makes no picture took
longer than 200 ms at the 99th percentile.
"""

import argparse
import io
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from modules.client import Client, NoisetteError

PROCESSES = 5
"""The clients are spread over so many, so that they do not wait for one another's interpreter."""
MOST_SECONDS = 0.2
DRAIN_SECONDS, MEET_SECONDS = 300, 120
SIDE, STEPS = 64, 1
ENQUEUE_SECONDS, CANCEL_SECONDS, GROWTH_MB, FLAT = 10.0, 2.0, 100.0, 2.0
"""For a thousand waiting jobs: putting them in, cancelling all, memory, and how much slower the last may be."""
_HELD = 150
"""Steps of the job that holds the queue."""


@dataclass
class Seen:
    """What some clients did and found."""

    submitted: int = 0
    done: int = 0
    looks: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------------- the program


def serve(folder: Path, *, held: bool = False) -> None:
    """The program as `noisette serve` builds it, but for the worker's engine; prints its address.

    `held`: a step takes five seconds, so that a job of many steps does not end.
    """
    from modules.api.server import listen
    from modules.api.server import serve as answer
    from modules.app import build_app
    from modules.services.heap import building
    from modules.services.instance import InstanceLock
    from modules.services.logs import LOG_FILE, logging_to
    from modules.services.worker import ChildWorker
    from modules.settings import Settings

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with listen("127.0.0.1", 0) as sock, building() as built:
        port = int(sock.getsockname()[1])
        settings = Settings(data_dir=folder, port=port)
        worker = ChildWorker(
            settings, command=(sys.executable, __file__, "--work", *(["--held"] if held else []))
        )
        with logging_to(folder / LOG_FILE, hint=""), InstanceLock(folder).acquire():
            app = build_app(settings, worker=worker)

            def ready() -> None:
                built()
                app.studio.start()
                print(f"http://127.0.0.1:{port}/", flush=True)

            try:
                answer(app.asgi, sock, ready)
            finally:
                app.close()


def work(*, held: bool = False) -> int:
    """The worker's process."""
    from modules.services.names import SamplerNames
    from modules.settings import Settings
    from modules.worker_process import serve as work_for
    from tests.services.fakes import CARD, FakeGenerate, service

    def build(settings: Settings) -> Any:
        names = SamplerNames(lambda: ())
        engine = FakeGenerate(seconds=5.0 if held else 0.0)
        return service(settings.data_dir, engine, find_model=lambda name: CARD, names=names)

    return work_for(build)


# ------------------------------------------------------------------------------------------- the clients


class Visitor:
    """One client: what it does for a while, and what it finds afterwards."""

    def __init__(self, url: str, number: int, seen: Seen) -> None:
        self.number = number
        self.seen = seen
        self.client = Client(url, visitor=f"{number:032x}")
        self.seeds: dict[int, int] = {}

    def live(self, begin: float, until: float, pause: float) -> None:
        """Come at `begin`, submit and look until the time is over."""
        turn = 0
        time.sleep(max(0.0, begin - time.monotonic()))
        while time.monotonic() < until:
            seed = self.number * 100_000 + turn
            job = self._timed(self.seen.submits, lambda seed=seed: self.submit(seed))
            if job is not None:
                if job["id"] in self.seeds:
                    self.seen.faults.append(f"job {job['id']} was given out twice")
                self.seeds[job["id"]] = seed
            looks: list[Callable[[], Any]] = [
                lambda: self.client.jobs(limit=20),
                lambda: self.client.pictures(limit=20),
                self.client.health,
                self.client.models,
            ]
            # Not all of them look at the same thing in the same second.
            self._timed(self.seen.looks, looks[(turn + self.number) % len(looks)])
            if self.seeds:
                number = next(reversed(self.seeds))
                self._timed(self.seen.looks, lambda number=number: self.client.job(number))
            turn += 1
            time.sleep(pause)

    def submit(self, seed: int) -> dict[str, Any]:
        """A job whose picture shows whose it is."""
        return self.client.submit(
            prompt=f"visitor {self.number}", seed=seed, steps=STEPS, width=SIDE, height=SIDE
        )

    def check(self, other: "Visitor") -> None:
        """What there is now is what was submitted: each job done, once, with the picture of its seed."""
        found: dict[int, dict[str, Any]] = {}
        while page := self.client.jobs(limit=100, offset=len(found))["jobs"]:
            found |= {job["id"]: job for job in page}
        self.seen.submitted += len(self.seeds)
        for missing in self.seeds.keys() - found.keys():
            self.seen.faults.append(f"job {missing} is lost")
        for strange in found.keys() - self.seeds.keys():
            self.seen.faults.append(f"job {strange} is nobody's or somebody else's")
        for number in self.seeds.keys() & found.keys():
            job, seed = found[number], self.seeds[number]
            if job["state"] != "done" or len(job["pictures"]) != 1:
                self.seen.faults.append(f"job {number} is {job['state']}")
                continue
            self.seen.done += 1
            data = self.client.file(job["pictures"][0]["id"])
            if shown(data) != (seed & 255, seed >> 8 & 255, seed >> 16 & 255):
                self.seen.faults.append(f"the picture of job {number} shows another seed")
        for number in list(other.seeds)[:3] if other is not self else ():
            try:
                self.client.job(number)
            except NoisetteError:
                continue
            self.seen.faults.append(f"job {number} can be seen by another visitor")

    def _timed(self, times: list[float], act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            return act()
        except (OSError, NoisetteError) as error:
            self.seen.faults.append(f"{type(error).__name__}: {error}")
            return None
        finally:
            times.append(time.perf_counter() - began)


def shown(data: bytes) -> tuple[int, ...]:
    """The colour of a picture's file."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return tuple(image.convert("RGB").getpixel((0, 0)))


def visitors(
    url: str,
    numbers: list[int],
    clients: int,
    seconds: float,
    pause: float,
    meet: Any,
    answers: Any,
) -> None:
    """One process of clients, some of all; `meet` is where the processes wait for one another."""
    seen = Seen()
    crowd = [Visitor(url, number, seen) for number in numbers]
    meet.wait(MEET_SECONDS)
    start = time.monotonic()

    def come(each: Visitor) -> None:
        each.live(start + pause * (each.number - 1) / clients, start + seconds, pause)

    in_threads([lambda each=each: come(each) for each in crowd])
    meet.wait(MEET_SECONDS)  # the checks of some are no part of what the others are timed in
    client, gone = Client(url), time.monotonic() + DRAIN_SECONDS
    while (health := client.health())["queued"] + health["running"]:
        if time.monotonic() > gone:
            seen.faults.append(f"{health['queued']} jobs still wait after {DRAIN_SECONDS} s")
            break
        time.sleep(0.2)
    in_threads([lambda i=i: crowd[i].check(crowd[i - 1]) for i in range(len(crowd))])
    answers.put(seen)


def in_threads(acts: list[Callable[[], None]]) -> None:
    """Do all at once; an error of one is the error of all."""
    errors: list[BaseException] = []

    def guarded(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=guarded, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def program(*more: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The program, running on a data folder for the occasion, and its address."""
    with tempfile.TemporaryDirectory(prefix="noisette-load-") as folder:
        command = [sys.executable, __file__, "--serve", folder, *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise SystemExit("the program did not start")
            yield process, url
        finally:
            process.terminate()
            process.wait(15)


def run(clients: int, seconds: float, pause: float) -> dict[str, Any]:
    """The figures of one run."""
    with program() as (process, url):
        context = multiprocessing.get_context("spawn")
        answers: Any = context.Queue()
        processes = min(PROCESSES, clients)
        meet: Any = context.Barrier(processes)
        began = time.monotonic()
        crowds = [
            context.Process(
                target=visitors,
                args=(
                    url,
                    list(range(1 + i, 1 + clients, PROCESSES)),
                    clients,
                    seconds,
                    pause,
                    meet,
                    answers,
                ),
            )
            for i in range(processes)
        ]
        for crowd in crowds:
            crowd.start()
        parts = [answers.get(timeout=seconds + DRAIN_SECONDS + 300) for _ in crowds]
        for crowd in crowds:
            crowd.join()
        took = time.monotonic() - began
        used = processor_seconds(process.pid)
    found = summary(parts, clients, took, process.returncode)
    return {**found, "program_processor_seconds": used}


def wait_in_line(count: int) -> dict[str, Any]:
    """The figures of a queue in which `count` jobs wait."""
    with program("--held") as (process, url):
        client = Client(url, visitor=f"{1:032x}")
        more = {"prompt": "a queue", "width": SIDE, "height": SIDE}
        client.submit(seed=1, steps=_HELD, **more)
        while not client.health()["running"]:
            time.sleep(0.1)
        before = memory(process.pid)
        submits: list[float] = []
        for seed in range(count):
            _timed(submits, lambda seed=seed: client.submit(seed=seed, steps=STEPS, **more))
        after = memory(process.pid)
        looks: list[float] = []
        for offset in range(0, count, 20):
            _timed(looks, lambda offset=offset: client.jobs(limit=20, offset=offset))
        cancels: list[float] = []
        gone = _timed(cancels, client.cancel_waiting)
    return line_summary(count, submits, looks, cancels[0], gone, (after - before) / 1e6)


def line_summary(
    count: int,
    submits: list[float],
    looks: list[float],
    cancel: float,
    gone: int,
    megabytes: float,
) -> dict[str, Any]:
    """The figures, and whether they are good."""
    part = min(100, count)
    first, last = percentile(submits[:part], 95), percentile(submits[-part:], 95)
    enough = ENQUEUE_SECONDS * max(1.0, count / 1000)
    good = gone == count and sum(submits) < enough and cancel < CANCEL_SECONDS
    return {
        "waiting": count,
        "cancelled": gone,
        "seconds_to_enqueue": round(sum(submits), 2),
        "first_hundred_p95_ms": round(first * 1000, 1),
        "last_hundred_p95_ms": round(last * 1000, 1),
        "pages_of_twenty": times(looks),
        "pages_p95_ms": round(percentile(looks, 95) * 1000, 1),
        "seconds_to_cancel_all": round(cancel, 3),
        "memory_growth_mb": round(megabytes, 1),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "cores": os.cpu_count(),
        "good": good and last < FLAT * first and megabytes < GROWTH_MB,
    }


def _timed(times_: list[float], act: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    try:
        return act()
    finally:
        times_.append(time.perf_counter() - began)


def memory(pid: int) -> int:
    """Resident bytes of the program without its worker."""
    import psutil

    return int(psutil.Process(pid).memory_info().rss)


def processor_seconds(pid: int) -> float:
    """What the program and its worker have computed so far, start included: a busy machine does not stretch it."""
    import psutil

    process = psutil.Process(pid)
    each = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return round(sum(one.user + one.system for one in each), 1)


def summary(parts: list[Seen], clients: int, took: float, status: int) -> dict[str, Any]:
    """What the clients found, together."""
    looks = [each for part in parts for each in part.looks]
    submits = [each for part in parts for each in part.submits]
    faults = [each for part in parts for each in part.faults]
    submitted, done = sum(part.submitted for part in parts), sum(part.done for part in parts)
    found = {
        "clients": clients,
        "submitted": submitted,
        "done_with_their_own_picture": done,
        "faults": len(faults),
        "examples": faults[:5],
        "looks": times(looks),
        "submits": times(submits),
        "seconds_with_checks": round(took, 1),
        "exit_status": status,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "cores": os.cpu_count(),
    }
    slow = percentile(looks, 99) > MOST_SECONDS
    found["good"] = bool(submitted) and submitted == done and not faults and not slow
    return found


def times(values: list[float]) -> dict[str, float]:
    """How long requests took, in milliseconds."""
    return {
        "count": len(values),
        "median_ms": round(statistics.median(values) * 1000, 1) if values else 0.0,
        "p99_ms": round(percentile(values, 99) * 1000, 1),
        "most_ms": round(max(values, default=0.0) * 1000, 1),
    }


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` percent lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] if ordered else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two turns")
    parser.add_argument("--waiting", type=int, metavar="N", help="figures of N jobs that wait")
    parser.add_argument("--held", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(held=options.held)
    if options.serve:
        serve(options.serve, held=options.held)
        return 0
    if options.waiting:
        found = wait_in_line(options.waiting)
    else:
        found = run(options.clients, options.seconds, options.pause)
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return 0 if found["good"] else 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status) if "--work" in sys.argv else sys.exit(status)
