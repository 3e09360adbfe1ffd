"""What an extension has to hold, tried out: for authors, before they hand it on.

Each check is a function of a `Bench` that raises `AssertionError` with what it found; its docstring is what it promises.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.errors import UserError
from modules.plugins.bench import MODELS, Bench
from modules.plugins.hookspecs import WORKER_HOOKS
from modules.plugins.install.files import listing
from modules.plugins.manifest import Manifest

_SECONDS = 120
_PROBE = """
import builtins, json, os, signal, sys, warnings
from pathlib import Path
from modules.plugins.manager import Plugins
from modules.plugins.bench import Bench
def globals_():
    return {
        "sys.path": list(sys.path), "os.environ": dict(os.environ), "working folder": os.getcwd(),
        "warnings.filters": [str(each) for each in warnings.filters],
        "signal handlers": [str(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM)],
        "builtins": sorted((name, id(value)) for name, value in vars(builtins).items() if name != "_"),
        "sys.excepthook": id(sys.excepthook), "sys.stdout": id(sys.stdout), "sys.meta_path": len(sys.meta_path),
        # A submodule that is imported for the first time is put there by Python itself.
        **{name: sorted((key, id(value)) for key, value in vars(module).items()
                        if not key.startswith("__") and getattr(value, "__name__", "") != f"{name}.{key}")
           for name, module in list(sys.modules.items()) if name.partition(".")[0] in ("modules", "PIL", "pydantic", "json")},
    }
# Kept before the extension can change them.
tell, read = json.dumps, json.loads
here, before = set(sys.modules), globals_()
bench = Bench(Path(sys.argv[1]))
after, (report,) = globals_(), bench.plugins.reports
changed = sorted(name for name in before if name in after and before[name] != after[name])
heavy = sorted({name.partition(".")[0] for name in set(sys.modules) - here} & set(read(sys.argv[2])))
print(tell({"changed": changed, "heavy": heavy, "seconds": report.seconds, "state": report.state,
            "reason": str(report.reason or "")}))
"""
_HEAVY = ("torch", "diffusers", "transformers", "gradio", "fastapi", "cv2", "tensorflow", "jax")


@dataclass(frozen=True)
class Finding:
    """What one check found; `why` is empty where it holds."""

    check: str
    promise: str
    good: bool
    why: str = ""


def check(extension: Path, models: Path = MODELS) -> Iterator[Finding]:
    """Try everything, in order; after a manifest or an import that fails nothing else can be tried."""
    try:
        manifest = Manifest.read(extension.resolve())
        manifest.check_compatible()
        listing(extension.resolve())
    except UserError as error:
        yield Finding(
            "manifest", "The manifest can be read and fits this version.", False, str(error)
        )
        return
    yield Finding("manifest", "The manifest can be read and fits this version.", True)
    for finding in _apart(extension):
        yield finding
        if not finding.good and finding.check == "loads":
            return
    bench = Bench(extension, models)
    try:
        for each in _CHECKS:
            yield _tried(each, bench)
    finally:
        bench.close()


def _apart(extension: Path) -> Iterator[Finding]:
    """In a process of its own, as the page's is when it starts."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(extension.resolve()), json.dumps(_HEAVY)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        yield Finding("loads", "It loads.", False, done.stderr[-2000:] or f"exit {done.returncode}")
        return
    yield Finding("loads", "It loads.", found["state"] == "active", found["reason"])
    heavy, changed = ", ".join(found["heavy"]), ", ".join(found["changed"])
    yield Finding("light", "Its page part imports nothing heavy.", not heavy, heavy)
    yield Finding("globals", "Loading it changes nothing of the process.", not changed, changed)


def _tried(act: Callable[[Bench], None], bench: Bench) -> Finding:
    promise = (act.__doc__ or "").strip()
    try:
        act(bench)
    except Exception as error:  # noqa: BLE001  # whatever it raises is what was found
        why = str(error) if isinstance(error, UserError | AssertionError) else repr(error)
        return Finding(act.__name__, promise, False, why[:2000] or repr(error))
    return Finding(act.__name__, promise, True)


def words(bench: Bench) -> None:
    """Title, description and options have their Chinese words."""
    (report,) = bench.plugins.reports
    assert report.manifest is not None
    lacking = [
        name
        for name in ("title", "description")
        if getattr(report.manifest, name) and not getattr(report.manifest, f"{name}_zh")
    ]
    for options in bench.plugins.options.values():
        for name, field in options.model_fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            if not extra.get("title_zh"):
                lacking.append(f"option {name}")
    assert not lacking, ", ".join(lacking)


def options(bench: Bench) -> None:
    """Options come back from a request and from a picture's text as they were."""
    if bench.name not in bench.plugins.options:
        return
    request = bench.request({})
    over = type(request).model_validate_json(request.model_dump_json())
    assert bench.plugins.check(over) == request, "they changed on the way through JSON"
    for axis in bench.plugins.axes():
        before = request.model_dump_json()
        for value in _values(axis):
            bench.plugins.check(axis.apply(request, value))
        assert request.model_dump_json() == before, f"{axis.name} changed the request it was given"


def leaves_no_trace(bench: Bench) -> None:
    """A picture without it is the same before and after one with it, and the model bit by bit."""
    if not _works(bench):
        return
    plain = bench.picture().tobytes()
    with bench.unchanged():
        bench.picture({})
    assert bench.picture().tobytes() == plain, "the next picture without it is another one"


def repeats(bench: Bench) -> None:
    """The same request gives the same picture."""
    if _works(bench):
        first, second = bench.picture({}), bench.picture({})
        assert first.tobytes() == second.tobytes(), "two runs differ"


def survives_cancel(bench: Bench) -> None:
    """A job that is stopped midway leaves the model as it was."""
    if not _works(bench):
        return
    plain = bench.picture().tobytes()
    with bench.unchanged():
        bench.cancelled({})
    assert bench.picture().tobytes() == plain, "the next picture is another one"


def samplers(bench: Bench) -> None:
    """Each sampler it brings makes a picture, twice the same."""
    for row in bench.plugins.samplers():
        first, second = (bench.picture(sampler=row.name, schedule="default") for _ in range(2))
        assert first.tobytes() == second.tobytes(), f"{row.name}: two runs differ"


def upscalers(bench: Bench) -> None:
    """Each upscaler it brings gives the size that it is asked for, and leaves the picture alone."""
    picture = bench.picture() if bench.plugins.upscaling() else None
    for upscaler in bench.plugins.upscaling().values():
        assert picture is not None
        before = picture.tobytes()
        for width, height in ((96, 96), (130, 70), (32, 32)):
            upscaler.upscale(picture, width, height, lambda: None)
        assert picture.tobytes() == before, f"{upscaler.name} changed the picture it was given"


def page_parts(bench: Bench) -> None:
    """What its panels, tabs and routes name is there."""
    for tab in ("txt2img", "img2img"):
        for mounted in bench.plugins.panels(tab):
            bench.plugins.panel_builder(mounted)
            for action in mounted.panel.actions:
                bench.plugins.part(mounted.extension, action.run)
    for name, tab_row in bench.plugins.tabs():
        bench.plugins.part(name, tab_row.build)
    for name, routes in bench.plugins.routes():
        bench.plugins.part(name, routes.build)
    for name, foreign in bench.plugins.foreign_routes():
        bench.plugins.part(name, foreign.build)
    for name, script in bench.plugins.scripts():
        for entry in (script.read, script.images, script.forgives):
            if entry:
                bench.plugins.part(name, entry)


_CHECKS = (
    words,
    options,
    page_parts,
    leaves_no_trace,
    repeats,
    survives_cancel,
    samplers,
    upscalers,
)


def _works(bench: Bench) -> bool:
    (report,) = bench.plugins.reports
    return bool(set(report.hooks) & set(WORKER_HOOKS))


def _values(axis: Any) -> Sequence[Any]:
    if axis.choices:
        return tuple(axis.choices)
    if axis.kind == "bool":
        return (True, False)
    bounds = [each for each in (axis.least, axis.most) if each is not None]
    return [int(each) for each in bounds] if axis.kind == "int" else bounds
