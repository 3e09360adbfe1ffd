"""`noisette doctor`: looks at everything the program needs and says what to do where something is wrong."""

import importlib.metadata
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from modules.doctor_driver import Driver, find_driver
from modules.errors import UserError, reason
from modules.services.instance import InstanceLock
from modules.settings import PROJECT, Settings
from modules.texts import translate

GIGA = 1e9
_LEAST_PYTHON, _FIRST_PYTHON_NOT_TRIED = (3, 11), (3, 14)
_LITTLE_DISK, _NO_DISK = 5 * GIGA, 0.3 * GIGA
_LITTLE_RAM = 3 * GIGA
_TORCH_SECONDS = 120
_TORCH_PROBE = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__,
    "cuda_build": torch.version.cuda or "",
    "rocm_build": getattr(torch.version, "hip", None) or "",
    "device": "cuda" if cuda else "mps" if torch.backends.mps.is_available() else "cpu",
    "name": torch.cuda.get_device_name(0) if cuda else "",
    "memory": torch.cuda.get_device_properties(0).total_memory if cuda else 0,
}))
"""


class Level(StrEnum):
    """How bad it is: `BROKEN` keeps the program from making pictures."""

    GOOD = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One line of the report: a text of the catalogue with its values; it also says what to do."""

    area: str
    level: Level
    key: str
    values: Mapping[str, object] = field(default_factory=dict)

    def message(self, language: str) -> str:
        values = {
            name: value.message(language) if isinstance(value, UserError) else value
            for name, value in self.values.items()
        }
        return translate(self.key, language, **values)

    def to_dict(self, language: str) -> dict[str, str]:
        """Plain data for --json."""
        return {
            "area": self.area,
            "level": self.level.value,
            "key": self.key,
            "message": self.message(language),
        }


def examine(settings: Settings) -> list[Finding]:
    """Everything there is to say, good news included."""
    driver = find_driver()
    findings = [*_python(), *_packages(), *_driver(driver), *_torch(driver), *_memory()]
    findings += [*_disk(settings), *_writable(settings), *_database(settings)]
    findings += [*_models(settings), *_extensions(settings), *_port(settings)]
    return findings


def table(findings: Sequence[Finding], language: str) -> str:
    """The report for people."""
    lines = [f"{each.level.value:8} {each.area:11} {each.message(language)}" for each in findings]
    broken = sum(each.level is Level.BROKEN for each in findings)
    warnings = sum(each.level is Level.WARNING for each in findings)
    end = translate("doctor.sum", language, broken=broken, warnings=warnings)
    return "\n".join([*lines, "", end])


def _python() -> Iterator[Finding]:
    found = sys.version.split()[0]
    good = _LEAST_PYTHON <= sys.version_info[:2] < _FIRST_PYTHON_NOT_TRIED
    level = Level.GOOD if good else Level.BROKEN
    key = "doctor.python.ok" if good else "doctor.python.wrong"
    yield Finding("python", level, key, {"found": found, "path": sys.executable})


def _packages() -> Iterator[Finding]:
    import tomllib

    from packaging.requirements import InvalidRequirement, Requirement

    try:
        text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
        wanted = tomllib.loads(text)["project"]["dependencies"]
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        wanted = importlib.metadata.requires("noisette") or []
    wrong = []
    for line in wanted:
        try:
            requirement = Requirement(line)
            found = importlib.metadata.version(requirement.name)
        except InvalidRequirement:
            continue
        except importlib.metadata.PackageNotFoundError:
            wrong.append((str(requirement), "-"))
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append((str(requirement), found))
    for needed, found in wrong:
        yield Finding(
            "packages", Level.BROKEN, "doctor.package", {"needed": needed, "found": found}
        )
    if not wrong:
        yield Finding("packages", Level.GOOD, "doctor.packages.ok", {"count": len(wanted)})


def _driver(driver: Driver | None) -> Iterator[Finding]:
    if driver is None:
        yield Finding("driver", Level.GOOD, "doctor.driver.none")
        return
    values = {
        "version": driver.version or "?",
        "cards": ", ".join(driver.cards) or "?",
        "rocm": driver.rocm or "-",
        "why": driver.why or "",
    }
    maker = driver.maker.lower()
    if driver.why is not None:
        yield Finding("driver", Level.WARNING, f"doctor.driver.{maker}.broken", values)
    else:
        yield Finding("driver", Level.GOOD, f"doctor.driver.{maker}", values)


def _torch(driver: Driver | None) -> Iterator[Finding]:
    # In a process of its own: a torch that does not fit the machine may crash or hang.
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _TORCH_PROBE],
            capture_output=True,
            text=True,
            timeout=_TORCH_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = (
            reason(error)
            if isinstance(error, OSError)
            else UserError("doctor.torch.slow", seconds=_TORCH_SECONDS)
        )
        yield Finding("torch", Level.BROKEN, "doctor.torch.broken", {"why": why})
        return
    try:
        facts = json.loads(answer.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (answer.stderr.strip().splitlines() or [f"exit {answer.returncode}"])[-1]
        yield Finding("torch", Level.BROKEN, "doctor.torch.broken", {"why": last})
        return
    cuda, rocm = facts["cuda_build"], facts.get("rocm_build", "")
    facts["build"] = f"CUDA {cuda}" if cuda else f"ROCm {rocm}" if rocm else "-"
    if facts["device"] == "cpu" and driver is not None and driver.why is None:
        facts["maker"] = driver.maker
        fits = {"NVIDIA": cuda, "AMD": rocm}.get(driver.maker)
        # What is beside an AMD or Apple processor anyway is no card that somebody has bought for this.
        level = Level.WARNING if fits or driver.maker == "NVIDIA" else Level.GOOD
        key = "doctor.torch.no_gpu" if fits else "doctor.torch.other_build"
        yield Finding("torch", level, key, facts)
    elif facts["device"] == "cpu":
        yield Finding("torch", Level.GOOD, "doctor.torch.cpu", facts)
    else:
        facts["gigabytes"] = round(facts["memory"] / GIGA, 1)
        yield Finding("torch", Level.GOOD, "doctor.torch.ok", facts)


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    little = memory.available < _LITTLE_RAM
    values = {
        "total": round(memory.total / GIGA, 1),
        "free": round(memory.available / GIGA, 1),
        "least": round(_LITTLE_RAM / GIGA),
    }
    key = "doctor.memory.little" if little else "doctor.memory.ok"
    yield Finding("memory", Level.WARNING if little else Level.GOOD, key, values)


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    values = {"free": round(free / GIGA, 1), "path": settings.data_dir}
    if free < _NO_DISK:
        yield Finding("disk", Level.BROKEN, "doctor.disk.little", values)
    elif free < _LITTLE_DISK:
        yield Finding("disk", Level.WARNING, "doctor.disk.little", values)
    else:
        yield Finding("disk", Level.GOOD, "doctor.disk.ok", values)


def _writable(settings: Settings) -> Iterator[Finding]:
    for folder in (settings.data_dir / "data", settings.outputs_dir):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-"):
                pass
        except OSError as error:
            values = {"path": folder, "why": reason(error)}
            yield Finding("data", Level.BROKEN, "doctor.data.refused", values)
        else:
            yield Finding("data", Level.GOOD, "doctor.data.ok", {"path": folder})


def _database(settings: Settings) -> Iterator[Finding]:
    from modules.services.jobs import JobStore

    if not settings.database.exists():
        return
    try:
        store = JobStore(settings.database)
        try:
            counts = store.counts()
            store.check()
        finally:
            store.close()
    except UserError as error:
        yield Finding("database", Level.BROKEN, "doctor.says", {"what": error})
        return
    values = {state.value: count for state, count in counts.items()}
    yield Finding("database", Level.GOOD, "doctor.database.ok", values)


def _models(settings: Settings) -> Iterator[Finding]:
    from modules.library.scan import scan

    found = scan(settings.models_dir)
    for problem in found.problems:
        values = {"path": problem.path, "why": problem.error}
        yield Finding("models", Level.WARNING, "doctor.model.problem", values)
    names = ", ".join(card.name for card in found.cards)
    if names:
        yield Finding("models", Level.GOOD, "doctor.models.ok", {"names": names})
    else:
        yield Finding("models", Level.BROKEN, "cli.models.none", {"folder": settings.models_dir})


def _extensions(settings: Settings) -> Iterator[Finding]:
    from modules.plugins.manager import FAILED, Plugins

    plugins = Plugins.load(settings.extensions_dir, safe_mode=settings.safe_mode)
    try:
        for report in plugins.reports:
            if report.state == FAILED:
                values = {"name": report.name, "why": report.reason or "?"}
                yield Finding("extensions", Level.WARNING, "doctor.extension.failed", values)
        names = ", ".join(each.name for each in plugins.reports if each.state != FAILED)
        yield Finding("extensions", Level.GOOD, "doctor.extensions.ok", {"names": names or "-"})
    finally:
        plugins.close()


def _port(settings: Settings) -> Iterator[Finding]:
    values: dict[str, object] = {"host": settings.host, "port": settings.port}
    try:
        with InstanceLock(settings.data_dir).acquire():
            pass
    except UserError as error:
        yield Finding("instance", Level.GOOD, "doctor.says", {"what": error})
        return
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((settings.host, settings.port))
    except OSError:
        yield Finding("port", Level.WARNING, "doctor.port.taken", values)
    else:
        yield Finding("port", Level.GOOD, "doctor.port.ok", values)
