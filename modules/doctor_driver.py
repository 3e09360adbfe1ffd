"""Which driver of a graphics card this machine has, for `noisette doctor`: found without torch, which may be the wrong build.

NVIDIA: `nvidia-smi`, and where that is not there or does not answer, what the kernel module says in /proc. AMD: the
kernel module `amdgpu` and the version file of ROCm. Apple: Metal comes with macOS, there is nothing to install.
"""

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from modules.errors import UserError, reason

SECONDS = 10.0
"""`nvidia-smi` can hang for ever on a card that is lost."""
_QUERY = ("--query-gpu=driver_version,name", "--format=csv,noheader")
_SMI = "nvidia-smi"
NVIDIA_MODULE = Path("/proc/driver/nvidia/version")
AMD_MODULE = Path("/sys/module/amdgpu")
ROCM = Path("/opt/rocm/.info/version")


@dataclass(frozen=True)
class Driver:
    """What was found: `maker` is "NVIDIA", "AMD" or "Apple"; a missing version is "". `why` says what does not work."""

    maker: str
    version: str = ""
    cards: tuple[str, ...] = ()
    rocm: str = ""
    why: UserError | str | None = None


def find_driver(seconds: float = SECONDS) -> Driver | None:
    """The driver of this machine; None where there is none. Never raises, and ends within `seconds`."""
    return _nvidia(seconds) or _amd() or _apple()


def _nvidia(seconds: float) -> Driver | None:
    from_kernel = re.search(r"Kernel Module\s.*?(\d+\.\d[\d.]*)", _text(NVIDIA_MODULE))
    version = from_kernel.group(1) if from_kernel else ""
    program = shutil.which(_SMI)
    if program is None:
        return Driver("NVIDIA", version) if version else None
    why: UserError | str
    try:
        answer = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        why = UserError("doctor.driver.slow", seconds=round(seconds))
    except OSError as error:
        why = reason(error)
    else:
        rows = [line.partition(",") for line in answer.stdout.splitlines() if "," in line]
        if answer.returncode == 0 and rows:
            return Driver("NVIDIA", rows[0][0].strip(), tuple(row[2].strip() for row in rows))
        # On a machine that has the program and no card it says so on either of the two.
        said = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
        why = said[0][:200] if said else f"exit {answer.returncode}"
    return Driver("NVIDIA", version, why=why)


def _amd() -> Driver | None:
    if not AMD_MODULE.is_dir():
        return None
    # The module that comes with Linux has no version of its own; AMD's has.
    return Driver("AMD", _text(AMD_MODULE / "version").strip(), rocm=_text(ROCM).strip())


def _apple() -> Driver | None:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return None
    return Driver("Apple", platform.mac_ver()[0])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:10_000]
    except OSError:
        return ""
