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

STEPS = 20
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


def measure(settings: Settings, repeat: int, progress: Callable[[str], None]) -> Result:
    """Measure everything `repeat` times; takes about half a minute each.

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
    raw |= _engine(settings, repeat)
    middle = {name: statistics.median(values) for name, values in raw.items()}
    allowed = PAGE_RATIO * middle["import_gradio"] + PAGE_EXTRA
    figures = (
        Figure("first_page", middle["page"], allowed, "s"),
        Figure(
            "first_page_over_import",
            middle["page"] / middle["import_gradio"],
            allowed / middle["import_gradio"],
            "x",
        ),
        Figure("first_picture", middle["picture"], 15.0, "s"),
        Figure("generate_over_bare", _ratio(raw["generate"], raw["bare"]), 1.15, "x"),
        Figure("twenty_steps", middle["generate"], 1.5, "s"),
        Figure("page_memory", middle["memory"], 400.0, "MB"),
        Figure("stop", middle["stop"], 10.0, "s"),
    )
    return Result(figures, raw, _machine())


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


def _engine(settings: Settings, repeat: int) -> dict[str, list[float]]:
    """In a process of its own: this one has no torch, as the page's has none."""
    answer = subprocess.run(
        [sys.executable, "-m", "modules.bench", settings.model_dump_json(), str(repeat)],
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


def _measure_engine(settings: Settings, repeat: int) -> dict[str, list[float]]:
    """A whole `generate`, and the same calls of the same models with nothing around them, in turn."""
    from modules.diffusion.pipeline import generate
    from modules.library.cards import find
    from modules.library.load import load
    from modules.library.scan import scan
    from modules.schema import GenerationRequest
    from modules.services.generation import resolve
    from modules.services.names import SamplerNames

    card = find(scan(settings.models_dir).cards, None, settings.default_model)
    asked = GenerationRequest(prompt="a red square", steps=STEPS, seed=_SEED)
    request = resolve(asked, card, settings.limits, SamplerNames())
    parts = load(card, settings.device, settings.precision)

    def ours() -> None:
        generate(parts, request, (), lambda _: None, first=0, count=1, preview=False)

    with _recorded(parts) as calls:
        ours()

    def bare() -> None:
        for module, args, kwargs in calls:
            module(*args, **kwargs)

    bare()
    raw: dict[str, list[float]] = {"generate": [], "bare": []}
    for _ in range(2 * max(1, repeat) + 1):
        raw["generate"].append(_seconds(ours))
        raw["bare"].append(_seconds(bare))
    return raw


@contextmanager
def _recorded(parts: Any) -> Iterator[list[tuple[Any, tuple[Any, ...], dict[str, Any]]]]:
    """The calls of the models while the block runs, to be made again: same shapes, same values."""
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append((module, args, kwargs))

    modules = [parts.text_encoder, parts.unet, parts.vae.decoder]
    if hasattr(parts.vae, "post_quant_conv"):  # a tiny decoder has none
        modules.append(parts.vae.post_quant_conv)
    for module in modules:
        module.requires_grad_(False)
    hooks = [each.register_forward_pre_hook(note, with_kwargs=True) for each in modules]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _seconds(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


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


def _machine() -> dict[str, object]:
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


if __name__ == "__main__":
    found = _measure_engine(Settings.model_validate_json(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps(found) + "\n")
