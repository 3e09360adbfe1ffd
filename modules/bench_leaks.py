"""`noisette bench --leaks`: whether memory grows with the pictures that are made and the models that are changed.

    python -m modules.bench_leaks pictures <settings as JSON> <count>
    python -m modules.bench_leaks switches <settings as JSON> <count>

Each runs whole jobs (queue, engine, saving, extensions) in a process of its own, which prints its samples as JSON: resident
memory in bytes, open files and threads, and how many objects Python's collector knows, after each job. What counts is
Theil-Sen's slope, the median of the slopes between all pairs, over the last four fifths: a few high samples do not
move it, and what fills up in the beginning (caches, allocators) is no leak.
"""

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.bench import Figure, Result, machine
from modules.errors import UserError
from modules.settings import PROJECT, Settings

if TYPE_CHECKING:
    from modules.schema import GenerationRequest
    from modules.services.front import Studio

PICTURES, SWITCHES = 300, 50
KB_A_PICTURE, MB_A_SWITCH = 50.0, 2.0
HANDLES_A_PICTURE = 0.01
OBJECTS_A_PICTURE = 20.0
"""One job's row in the hub, which forgets all but a hundred, is some objects; a tensor left in a list is one for ever."""
_IGNORED = 0.2
WORDS = 20
"""So many prompts; fewer than the samples that do not count."""
_STEPS = 2


Samples = dict[str, list[float]]


def measure(
    settings: Settings,
    progress: Callable[[str], None],
    *,
    pictures: int = PICTURES,
    switches: int = SWITCHES,
) -> Result:
    """Run both, one after the other; takes minutes.

    Raises:
        UserError: a part did not work; the text has its last words.
    """
    raw: Samples = {}
    for what, count in (("pictures", pictures), ("switches", switches)):
        progress(f"{what}: {count}")
        found = _run(what, settings, count)
        raw |= {f"{what}_{name}": values for name, values in found.items()}
    figures = (
        Figure("leak_pictures", slope(raw["pictures_memory"]) / 1e3, KB_A_PICTURE, "KB"),
        Figure("leak_switches", slope(raw["switches_memory"]) / 1e6, MB_A_SWITCH, "MB"),
        Figure("leak_handles", slope(raw["pictures_handles"]), HANDLES_A_PICTURE, ""),
        Figure("leak_objects", slope(raw["pictures_objects"]), OBJECTS_A_PICTURE, ""),
    )
    return Result(figures, raw, machine())


def slope(samples: Sequence[float]) -> float:
    """Theil-Sen's slope for each sample over the last four fifths; 0 where there are fewer than two."""
    counted = samples[int(len(samples) * _IGNORED) :]
    slopes = [
        (later - one) / (at - start)
        for start, one in enumerate(counted)
        for at, later in enumerate(counted[start + 1 :], start + 1)
    ]
    return statistics.median(slopes) if slopes else 0.0


def make_pictures(settings: Settings, count: int) -> Samples:
    """A picture a job, each with another seed, the words by turns: the cache of encoded prompts, which has a bound far
    beyond what is made here, is full of them before it counts.
    """
    from modules.schema import GenerationRequest

    def request(number: int) -> GenerationRequest:
        return GenerationRequest(
            prompt=f"a red square, {number % WORDS}", steps=_STEPS, seed=number
        )

    with tempfile.TemporaryDirectory(prefix="noisette-leaks-") as folder:
        return _jobs(settings.model_copy(update={"data_dir": Path(folder)}), count, request)


def change_models(settings: Settings, count: int) -> Samples:
    """A job for one model and a job for another, by turns, with room for one of the two."""
    from modules.library.cards import find
    from modules.library.scan import CHECKPOINTS, scan
    from modules.schema import GenerationRequest

    card = find(scan(settings.models_dir).cards, None, settings.default_model)
    with tempfile.TemporaryDirectory(prefix="noisette-leaks-") as folder:
        models = Path(folder, "models")
        (models / CHECKPOINTS).mkdir(parents=True)
        for name in ("one", "other"):
            _put(card.path, models / CHECKPOINTS / f"{name}{card.path.suffix}")
        names = [each.name for each in scan(models).cards]
        here = settings.model_copy(
            update={
                "data_dir": Path(folder),
                "models_dir": models,
                "default_model": names[0],
                "model_cache_bytes": card.size_bytes,
            }
        )

        def request(number: int) -> GenerationRequest:
            return GenerationRequest(prompt="a cat", steps=1, seed=1, model=names[number % 2])

        return _jobs(here, count, request)


def _put(model: Path, target: Path) -> None:
    """The same model under another name, without using the disk where that can be had; links count as one model."""
    from modules.library.folder import CARD

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copyfile(source, target)

    if model.is_dir():
        shutil.copytree(model, target, copy_function=link)
        card = target / CARD
        if card.exists():  # it names the model, and a name is taken once
            facts = json.loads(card.read_text(encoding="utf-8"))
            card.unlink()  # not written through the link into the other one
            card.write_text(json.dumps({**facts, "name": target.name}), encoding="utf-8")
    else:
        link(str(model), str(target))


def _jobs(settings: Settings, count: int, request: "Callable[[int], GenerationRequest]") -> Samples:
    from modules.app import build_studio

    samples: Samples = {"memory": [], "handles": [], "objects": []}
    studio = build_studio(settings, in_process=True)
    try:
        for number in range(count):
            _one(studio, request(number))
            _sample(samples)
    finally:
        studio.close()
    return samples


def _one(studio: "Studio", request: "GenerationRequest") -> None:
    from modules.schema import JobState

    job = studio.run(studio.submit(request).id)
    if job.state is not JobState.DONE:
        raise UserError.from_dict(job.error or {})


def _sample(samples: Samples) -> None:
    import psutil

    gc.collect()  # what waits for the collector is no leak
    process = psutil.Process()
    handles = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    samples["memory"].append(float(process.memory_info().rss))
    samples["handles"].append(float(handles + process.num_threads()))
    samples["objects"].append(float(len(gc.get_objects())))


def _run(what: str, settings: Settings, count: int) -> Samples:
    answer = subprocess.run(
        [sys.executable, "-m", "modules.bench_leaks", what, settings.model_dump_json(), str(count)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    try:
        found: Samples = json.loads(answer.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        why = (answer.stderr.strip().splitlines() or ["?"])[-1]
        raise UserError("bench.failed", what=what, why=why) from error
    return found


if __name__ == "__main__":
    work = {"pictures": make_pictures, "switches": change_models}[sys.argv[1]]
    made = work(Settings.model_validate_json(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(made) + "\n")
