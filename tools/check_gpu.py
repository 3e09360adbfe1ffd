"""What only a graphics card can show: run where there is one, before a release. Prints JSON, one line for each fact.

    python tools/check_gpu.py [philox] [pocket] [overhead] [memory]

philox    our numbers for a seed against the card's own: the largest difference of three shapes and five seeds
pocket    the shipped model's pictures, card against processor, in fp32 and fp16: mean difference in steps of 255
overhead  `generate` against its bare calls, with a model of the size of Stable Diffusion 1.5
memory    that model in as much of the card's memory as smaller cards have: the peak, and what was told
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME))
PROMPTS = ("a cat on a blue background", "two green squares", "a hamburger, 3d render", "an owl")
GIGABYTES = (8.0, 4.0, 3.0, 2.5, 2.0)
WORK = ((512, 512, 1), (512, 512, 4), (768, 768, 1), (1024, 1024, 1))


def say(**facts: Any) -> None:
    """One line."""
    print(json.dumps(facts), flush=True)


def philox() -> None:
    """Philox on the processor against torch.randn on the card."""
    from modules.diffusion.philox import Philox

    for shape in ((1, 4, 16, 16), (1, 4, 64, 64), (1, 4, 128, 128)):
        gap = 0.0
        for seed in (0, 1, 42, 1234567, 2**32 - 1):
            card = torch.Generator("cuda").manual_seed(seed)
            ours = Philox(seed)
            for _ in range(2):
                theirs = torch.randn(shape, generator=card, device="cuda").cpu().numpy()
                gap = max(gap, float(np.abs(theirs - ours.normal(shape)).max()))
        say(check="philox", shape=shape, largest_difference=gap)


def request(**more: Any) -> Any:
    """A resolved request."""
    from modules.schema import GenerationRequest

    known = {"sampler": "euler", "schedule": "default", "seed": 7, "steps": 20, "cfg_scale": 2.5}
    return GenerationRequest(**(known | more))


def pocket() -> None:
    """The shipped model on both devices."""
    from modules.diffusion.pipeline import generate
    from modules.library.load import load
    from modules.library.scan import scan

    card = next(c for c in scan(HOME / "models").cards if c.name == "pocket")
    made: dict[str, np.ndarray] = {}
    for device, precision in (("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "fp16")):
        parts = load(card, device, precision)
        pictures, times = [], []
        for sampler in ("euler", "euler_a", "dpmpp_2m"):
            for prompt in PROMPTS:
                began = time.perf_counter()
                asked = request(prompt=prompt, width=128, height=128, sampler=sampler)
                pictures += generate(parts, asked)
                times.append(time.perf_counter() - began)
        made[f"{device} {precision}"] = np.stack([np.asarray(p, np.float32) for p in pictures])
        gap = np.abs(made[f"{device} {precision}"] - made["cpu fp32"])
        say(
            check="pocket", device=device, precision=precision, mean=float(gap.mean()),
            worst_picture=float(gap.mean((1, 2, 3)).max()), seconds=statistics.median(times),
        )  # fmt: skip


def overhead() -> None:
    """As `noisette bench --large`, on the card."""
    from modules.settings import Settings

    settings = Settings(device="cuda").model_dump_json()
    for name in ("shipped", "large"):
        run = subprocess.run(
            [sys.executable, "-m", "modules.bench_engine", name, settings, "7"],
            cwd=HOME, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode:
            say(check="overhead", model=name, error=run.stderr[-1500:])
            continue
        raw = json.loads(run.stdout.splitlines()[-1])
        ratios = [a / b for a, b in zip(raw["generate"], raw["bare"], strict=True)]
        say(check="overhead", model=name, ratio=statistics.median(ratios), **raw)


def memory() -> None:
    """Each size of card in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.safetensors")
        from modules.library.random_model import write_sd1

        write_sd1(path)
        for gigabytes in GIGABYTES:
            run = subprocess.run(
                [sys.executable, __file__, "within", str(path), str(gigabytes)],
                cwd=HOME, capture_output=True, text=True, check=False,
            )  # fmt: skip
            print(run.stdout, end="", flush=True)
            if run.returncode:
                say(check="memory", limit=gigabytes, error=run.stderr[-1500:])


def within(path: Path, gigabytes: float) -> None:
    """Load and make pictures with no more than so many GB of the card."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(gigabytes * 1e9 / total)
    from modules.diffusion.pipeline import generate
    from modules.errors import UserError
    from modules.library.load import load
    from modules.library.scan import read_card

    parts = load(read_card(path), "cuda")
    say(check="memory", limit=gigabytes, loaded=torch.cuda.memory_allocated() / 1e9)
    for width, height, count in WORK:
        torch.cuda.reset_peak_memory_stats()
        notices: list[str] = []

        def report(progress: Any, notices: list[str] = notices) -> None:
            if progress.notice is not None:
                notices.append(progress.notice.key)

        began = time.perf_counter()
        outcome = "done"
        try:
            asked = request(
                prompt="a cat", width=width, height=height, steps=8, cfg_scale=7.0, batch_size=count
            )
            generate(parts, asked, (), report, first=0, count=count)
        except UserError as error:
            outcome = error.key
        say(
            check="memory", limit=gigabytes, size=f"{width}x{height}", count=count, outcome=outcome,
            seconds=time.perf_counter() - began, notices=notices,
            peak_gigabytes=torch.cuda.max_memory_allocated() / 1e9,
        )  # fmt: skip


def main() -> None:
    """Command line."""
    if sys.argv[1:2] == ["within"]:
        within(Path(sys.argv[2]), float(sys.argv[3]))
        return
    if not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here.")
    say(check="device", name=torch.cuda.get_device_name(0), torch=torch.__version__)
    checks = {"philox": philox, "pocket": pocket, "overhead": overhead, "memory": memory}
    for name in sys.argv[1:] or list(checks):
        checks[name]()


if __name__ == "__main__":
    main()
