"""What `noisette bench` measures of the engine, in a process of its own: the page's has no torch, and this one has.

    python -m modules.bench_engine shipped  <settings as JSON> <turns>   the model that ships
    python -m modules.bench_engine large    <settings as JSON> <turns>   one of the size of Stable Diffusion 1.5
    python -m modules.bench_engine memory   <settings as JSON> 1         the peak of loading that one and a picture

Each prints its raw values as JSON. The large model has random weights, is written for the occasion (2.1 GB in the
folder for temporary files) and removed.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.schema import GenerationRequest, ModelCard
from modules.settings import Settings

STEPS = 20
SEED = 1234
LARGE_STEPS = 2
LARGE_SIDE = 512
_Call = tuple[Any, tuple[Any, ...], dict[str, Any]]


def shipped(settings: Settings, turns: int) -> dict[str, list[float]]:
    """Seconds of `generate` and of its bare calls, with the default model."""
    from modules.library.cards import find
    from modules.library.scan import scan
    from modules.services.names import SamplerNames
    from modules.services.resolving import resolve

    card = find(scan(settings.models_dir).cards, None, settings.default_model)
    asked = GenerationRequest(prompt="a red square", steps=STEPS, seed=SEED)
    return _compared(settings, card, resolve(asked, card, settings.limits, SamplerNames()), turns)


def large(settings: Settings, turns: int) -> dict[str, list[float]]:
    """The same with the large model, a few steps at its own size."""
    with _large_model() as card:
        return _compared(settings, card, _asked(LARGE_STEPS), turns)


def memory(settings: Settings, turns: int) -> dict[str, list[float]]:
    """The most bytes in memory of a process that reads the large model and makes one picture of 512 x 512."""
    from modules.diffusion.pipeline import generate
    from modules.library.load import load

    with _large_model(apart=True) as card:
        parts = load(card, "cpu", settings.precision)
        loaded = _peak()
        generate(parts, _asked(1))
        return {"loaded": [loaded], "peak": [_peak()]}


def _asked(steps: int) -> GenerationRequest:
    return GenerationRequest(
        prompt="a red square",
        width=LARGE_SIDE,
        height=LARGE_SIDE,
        steps=steps,
        cfg_scale=7.0,
        sampler="euler",
        schedule="default",
        seed=SEED,
    )


@contextmanager
def _large_model(*, apart: bool = False) -> Iterator[ModelCard]:
    """Args: apart: written by another process, so that it leaves no trace in this one's memory."""
    with tempfile.TemporaryDirectory(prefix="noisette-bench-") as folder:
        path = Path(folder, "large.safetensors")
        if apart:
            import subprocess

            subprocess.run([sys.executable, "-m", __spec__.name, "write", str(path)], check=True)
        else:
            _write(path)
        from modules.library.scan import read_card

        yield read_card(path)


def _write(path: Path) -> None:
    from modules.library.random_model import write_sd1

    write_sd1(path)


def _compared(
    settings: Settings, card: ModelCard, request: GenerationRequest, turns: int
) -> dict[str, list[float]]:
    """A whole `generate`, and the same calls of the same models with nothing around them, in turn."""
    from modules.diffusion.bare import wait
    from modules.diffusion.pipeline import generate
    from modules.library.load import load

    parts = load(card, settings.device, settings.precision)

    def ours() -> None:
        parts.encoded.clear()  # a prompt that is known already would flatter us
        generate(parts, request, (), lambda _: None, first=0, count=1, preview=0)

    with _recorded(parts) as calls:
        ours()

    def bare() -> None:
        _replay(calls)

    bare()
    wait(parts.device)
    # On a CPU the processor's time, which other programs do not stretch, says more than the clock.
    clock = time.process_time if parts.device.type == "cpu" else time.perf_counter
    raw: dict[str, list[float]] = {"generate": [], "bare": [], "seconds": []}
    for turn in range(turns):
        # Who goes first finds other caches: both do, by turns.
        for name, work in (("generate", ours), ("bare", bare))[:: -1 if turn % 2 else 1]:
            began, at = time.perf_counter(), clock()
            work()
            wait(parts.device)
            raw[name].append(clock() - at)
            if name == "generate":
                raw["seconds"].append(time.perf_counter() - began)
    return raw


def _replay(calls: list[_Call]) -> None:
    from modules.diffusion.bare import replay

    replay(calls)


@contextmanager
def _recorded(parts: Any) -> Iterator[list[_Call]]:
    """The calls of the models while the block runs, to be made again: same shapes, same values."""
    calls: list[_Call] = []

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append((module, args, kwargs))

    modules = [*parts.text_encoders, parts.unet, parts.vae.decoder]
    if getattr(parts.vae, "post_quant_conv", None) is not None:  # a tiny decoder has none
        modules.append(parts.vae.post_quant_conv)
    hooks = [each.register_forward_pre_hook(note, with_kwargs=True) for each in modules]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _peak() -> float:
    """Bytes of main memory that this process had at the most."""
    import psutil

    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return float(info.peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        _write(Path(sys.argv[2]))
    else:
        measure = {"shipped": shipped, "large": large, "memory": memory}[sys.argv[1]]
        found = measure(Settings.model_validate_json(sys.argv[2]), int(sys.argv[3]))
        sys.stdout.write(json.dumps(found) + "\n")
