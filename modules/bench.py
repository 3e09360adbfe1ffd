"""`noisette bench`: how long one waits for the page and the first picture, and what our own code costs on top.

Everything is measured in one run, what is compared is measured alternately, and medians count, so that the ratios
hold on a busy machine where the seconds do not.
"""

import http.client
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modules.errors import UserError
from modules.settings import PROJECT, Settings
from modules.texts import translate

PAGE_RATIO, PAGE_EXTRA = 1.3, 1.5
_START_SECONDS = 120.0
_SEED = 1234


@dataclass(frozen=True)
class Figure:
    """One measured value and the most that it should be."""

    name: str
    value: float
    target: float
    unit: str

    @property
    def good(self) -> bool:
        return self.value <= self.target


@dataclass(frozen=True)
class Result:
    """All figures of one run, the raw seconds behind them, and the machine."""

    figures: tuple[Figure, ...]
    raw: Mapping[str, list[float]]
    machine: Mapping[str, object]

    @property
    def good(self) -> bool:
        return all(figure.good for figure in self.figures)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        figures = {each.name: {**asdict(each), "good": each.good} for each in self.figures}
        return {
            "figures": figures,
            "raw": dict(self.raw),
            "machine": dict(self.machine),
            "good": self.good,
        }


def measure(
    settings: Settings, repeat: int, progress: Callable[[str], None], *, large: bool = False
) -> Result:
    """Measure everything `repeat` times; takes about half a minute each.

    Args:
        large: also with a model of the size of Stable Diffusion 1.5: overhead, and peak memory. Takes minutes on a
            CPU, and 2.1 GB of room for temporary files.

    Raises:
        UserError: a part did not start or did not work; the text has its last words.
    """
    raw: dict[str, list[float]] = {
        name: [] for name in ("import_gradio", "page", "picture", "memory", "stop")
    }
    for turn in range(max(1, repeat)):
        progress(f"{turn + 1}/{max(1, repeat)}")
        raw["import_gradio"].append(_import_gradio())
        page = _page(settings)
        for name in ("page", "memory", "stop"):
            raw[name].append(page[name])
        raw["picture"].append(_picture(settings))
    raw |= _engine("shipped", settings, 2 * max(1, repeat) + 1)
    if large:
        progress("512x512")
        found = _engine("large", settings, max(1, repeat))
        raw |= {f"large_{name}": values for name, values in found.items()}
        raw |= _engine("memory", settings, 1)
    middle = {name: statistics.median(values) for name, values in raw.items()}
    allowed = PAGE_RATIO * middle["import_gradio"] + PAGE_EXTRA
    figures: tuple[Figure, ...] = (
        Figure("first_page", middle["page"], allowed, "s"),
        Figure(
            "first_page_over_import",
            middle["page"] / middle["import_gradio"],
            allowed / middle["import_gradio"],
            "x",
        ),
        Figure("first_picture", middle["picture"], 15.0, "s"),
        Figure("generate_over_bare", _ratio(raw["generate"], raw["bare"]), 1.10, "x"),
        Figure("twenty_steps", middle["seconds"], 1.5, "s"),
        Figure("page_memory", middle["memory"], 400.0, "MB"),
        Figure("stop", middle["stop"], 10.0, "s"),
    )
    if large:
        ratio = _ratio(raw["large_generate"], raw["large_bare"])
        figures += (
            Figure("large_over_bare", ratio, 1.02, "x"),
            Figure("large_memory", raw["peak"][0] / 1e6, 4000.0, "MB"),
        )
    return Result(figures, raw, machine())


def table(result: Result, language: str) -> str:
    """The result for people."""
    lines = []
    for each in result.figures:
        name = translate(f"bench.{each.name}", language)
        mark = translate("bench.ok" if each.good else "bench.not_ok", language)
        lines.append(f"{mark:8} {each.value:8.2f} {each.unit:3} <= {each.target:7.2f}  {name}")
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    return "\n".join([*lines, "", machine])


def _ratio(ours: list[float], bare: list[float]) -> float:
    """Of pairs measured one after the other, so that a busy moment weighs on both."""
    return statistics.median(a / b for a, b in zip(ours, bare, strict=True))


def _import_gradio() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import gradio"], check=True, cwd=PROJECT)
    return time.perf_counter() - began


def _page(settings: Settings) -> dict[str, float]:
    import psutil

    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        command = ["serve", "--no-open", "--host", "127.0.0.1", "--port", str(port)]
        began = time.perf_counter()
        with _process([*command, *_folders(settings, folder)]) as process:
            while not _answers(port):
                if process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                    raise UserError("bench.failed", what="serve", why=_last_words(process))
                time.sleep(0.02)
            took = time.perf_counter() - began
            memory = psutil.Process(process.pid).memory_info().rss / 1e6
            began = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            return {"page": took, "memory": memory, "stop": time.perf_counter() - began}


def _picture(settings: Settings) -> float:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "outputs")
        command = ["txt2img", "a red square", "--seed", str(_SEED)]
        began = time.perf_counter()
        with _process([*command, *_folders(settings, folder)]) as process:
            while not any(output.rglob("[!.]*.png")):
                if process.poll() not in (None, 0) or time.perf_counter() - began > _START_SECONDS:
                    raise UserError("bench.failed", what="txt2img", why=_last_words(process))
                time.sleep(0.02)
            took = time.perf_counter() - began
            process.wait(60)
            return took


def _engine(what: str, settings: Settings, turns: int) -> dict[str, list[float]]:
    """`modules.bench_engine`, in a process of its own: this one has no torch, as the page's has none."""
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "modules.bench_engine",
            what,
            settings.model_dump_json(),
            str(turns),
        ],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    try:
        found: dict[str, list[float]] = json.loads(answer.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        why = (answer.stderr.strip().splitlines() or ["?"])[-1]
        raise UserError("bench.failed", what="generate", why=why) from error
    return found


@contextmanager
def _process(arguments: list[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "webui.py"), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _last_words(process: "subprocess.Popen[str]") -> str:
    process.kill()
    text = process.stderr.read() if process.stderr else ""
    return (text.strip().splitlines() or ["?"])[-1]


def _folders(settings: Settings, data_dir: str) -> list[str]:
    return [
        "--data-dir",
        data_dir,
        "--models-dir",
        str(settings.models_dir),
        "--extensions-dir",
        str(settings.extensions_dir),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def machine() -> dict[str, object]:
    """What the figures were measured on, and how busy it was."""
    import psutil

    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else "?",
        "GB": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
