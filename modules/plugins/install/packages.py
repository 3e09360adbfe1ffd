"""Python packages for one extension: what pip would bring, and bringing exactly that, next to the extension's files.

Nothing of the program's own environment is changed: everything that is installed there holds as a constraint, and
what comes in addition goes into the extension's folder and leaves with it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from modules.errors import ExtensionError
from modules.plugins.requirements import FOLDER, installed, missing

SECONDS = 600.0
# Wheels only: to look at a source package, pip would run code of it.
_PIP = ("-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--only-binary=:all:", "--no-color")  # fmt: skip


@dataclass(frozen=True)
class Package:
    """One that would be installed."""

    name: str
    version: str
    sha256: str = ""

    @property
    def pinned(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version}"


def resolve(name: str, requires: Sequence[str]) -> tuple[Package, ...]:
    """What would have to be installed for `requires`, by a dry run of pip; nothing is installed.

    Raises:
        ExtensionError: it does not fit what is here, or pip finds none; says what pip says.
    """
    lacking = list(missing(requires))
    if not lacking:
        return ()
    with tempfile.TemporaryDirectory(prefix="noisette-pip-") as folder:
        report = Path(folder) / "report.json"
        words = [
            "--dry-run",
            f"--report={report}",
            *_constraints(Path(folder)),
            *lacking,
        ]
        _pip(name, words)
        found = json.loads(report.read_text(encoding="utf-8"))
    packages = tuple(sorted((_package(each) for each in found["install"]), key=lambda p: p.name))
    here = installed()
    for package in packages:
        if package.name in here:  # pip would have to replace one of ours
            raise ExtensionError(
                "error.install.conflict",
                extension=name,
                package=package.pinned,
                here=f"{package.name}=={here[package.name]}",
            )
    return packages


def install(name: str, packages: Sequence[Package], folder: Path) -> None:
    """Install exactly these into `folder/.python`.

    Raises:
        ExtensionError: says what pip says; `folder` is to be thrown away then.
    """
    if not packages:
        return
    with tempfile.TemporaryDirectory(prefix="noisette-pip-") as scratch:
        wanted = Path(scratch) / "wanted.txt"
        hashed = all(package.sha256 for package in packages)
        lines = [
            f"{package.pinned} --hash=sha256:{package.sha256}" if hashed else package.pinned
            for package in packages
        ]
        wanted.write_text("\n".join(lines), encoding="utf-8")
        _pip(name, ["--no-deps", "--quiet", f"--target={folder / FOLDER}", "-r", str(wanted)])


def _constraints(folder: Path) -> list[str]:
    file = folder / "constraints.txt"
    pins = [f"{name}=={version}" for name, version in sorted(installed().items())]
    file.write_text("\n".join(pins), encoding="utf-8")
    return ["-c", str(file)]


def _package(entry: Mapping[str, object]) -> Package:
    metadata = entry["metadata"]
    assert isinstance(metadata, dict)
    archive = entry.get("download_info")
    info = archive.get("archive_info", {}) if isinstance(archive, dict) else {}
    hashes = info.get("hashes", {}) if isinstance(info, dict) else {}
    return Package(
        canonicalize_name(str(metadata["name"])),
        str(metadata["version"]),
        str(hashes.get("sha256", "")),
    )


def _pip(name: str, words: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            [sys.executable, *_PIP, *words],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, "PYTHONUTF8": "1", "PIP_REQUIRE_VIRTUALENV": "0"},
        )
    except subprocess.TimeoutExpired as error:
        raise ExtensionError(
            "error.install.pip", extension=name, why=f"no answer within {SECONDS:g} s"
        ) from error
    if done.returncode != 0:
        # What clashes with what stands in the progress, between this line and an empty one.
        _, found, cause = done.stdout.partition("The conflict is caused by:")
        lines = cause.strip().split("\n\n")[0].splitlines() if found else done.stderr.splitlines()
        said = " ".join(line.removeprefix("ERROR: ").strip() for line in lines[-8:])
        raise ExtensionError("error.install.pip", extension=name, why=said[:800] or "pip failed")
