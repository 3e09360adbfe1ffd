"""One folder → one loaded extension and its report, or a report that says what is wrong with it."""

import logging
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modules.diffusion.samplers import SAMPLERS
from modules.errors import ExtensionError, UserError
from modules.plugins.asking import hung
from modules.plugins.extension import Extension, load_extension
from modules.plugins.host import Host, Pictures
from modules.plugins.limit import Hung, limited
from modules.plugins.loader import ExtensionImporter
from modules.plugins.manifest import Manifest
from modules.plugins.report import ACTIVE, DISABLED, FAILED, ExtensionReport
from modules.plugins.requirements import missing
from modules.plugins.switches import Switches

log = logging.getLogger(__name__)

LOAD_SECONDS = 30.0
SLOW_SECONDS = 2.0
_HEAVY = ("torch", "diffusers", "transformers", "gradio", "cv2", "tensorflow", "jax")

Process = Literal["page", "worker", "command"]


@dataclass(frozen=True)
class Places:
    """Folders that extensions may be told of."""

    models: Path = Path("models")
    data: Path = Path("data") / "extensions"
    """Each extension's own folder lies in here."""
    device: str = "auto"
    converted: Path | None = None
    pictures: Pictures | None = None
    """See `Host`."""


@dataclass(frozen=True)
class Loading:
    """How extensions are loaded in this process."""

    importer: ExtensionImporter
    switches: Switches
    places: Places
    process: Process
    seconds: float
    """What takes longer is given up by name."""

    def load(
        self, folder: Path, others: Sequence[Extension]
    ) -> tuple[Extension | None, ExtensionReport]:
        """The extension in `folder`, unless something is wrong with it, and what became of it.

        Args:
            others: those that are loaded already; their names are taken.
        """
        name = folder.name
        before = {heavy for heavy in _HEAVY if heavy in sys.modules}
        started = time.perf_counter()
        manifest: Manifest | None = None
        try:
            manifest = Manifest.read(folder)
            manifest.check_compatible()
            _check_requirements(manifest, folder)
            extension = self._load(manifest, folder)
            _check_names(extension, others)
        except ExtensionError as error:
            log.warning("%s", error, exc_info=error.__cause__)
            seconds = time.perf_counter() - started
            return None, ExtensionReport(
                name, FAILED, manifest, reason=error, traceback=cause(error), seconds=seconds
            )
        seconds = time.perf_counter() - started
        warnings = []
        brought = [heavy for heavy in _HEAVY if heavy in sys.modules and heavy not in before]
        if brought and self.process == "page":
            warnings.append(UserError("extension.warning.heavy", what=", ".join(brought)))
        if seconds > SLOW_SECONDS and self.process == "page":
            warnings.append(UserError("extension.warning.slow", seconds=round(seconds, 1)))
        return extension, ExtensionReport(
            name,
            ACTIVE,
            manifest,
            seconds=seconds,
            hooks=extension.hooks,
            warnings=tuple(warnings),
        )

    def _load(self, manifest: Manifest, folder: Path) -> Extension:
        places = self.places
        host = Host(
            manifest.name,
            folder,
            places.models,
            places.data / manifest.name,
            places.device,
            places.converted,
            places.pictures,
        )
        with self.switches.starting(manifest.name, self.process):
            try:
                return limited(lambda: load_extension(manifest, self.importer, host), self.seconds)
            except Hung as error:
                raise hung(manifest.name, manifest.plugin, error) from error


def extension_folders(folder: Path) -> list[Path]:
    """The folders that may be extensions, by name."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    )


def off(folder: Path, reason: UserError) -> ExtensionReport:
    """The report of one that is not to be loaded."""
    try:
        manifest = Manifest.read(folder)
    except ExtensionError as error:
        log.debug("%s", error)  # it is off: that it is broken too is told when it is switched on
        manifest = None
    return ExtensionReport(folder.name, DISABLED, manifest, reason=reason)


def cause(error: BaseException) -> str:
    """The traceback of what lies behind an error, with the error's own notes."""
    if error.__cause__ is None:
        return "".join(getattr(error, "__notes__", ()))
    lines = "".join(traceback.format_exception(error.__cause__))
    return lines + "".join(getattr(error, "__notes__", ()))


def folded(name: str) -> str:
    """Two names that differ only in this are one to a person."""
    return name.strip().casefold()


def _check_requirements(manifest: Manifest, folder: Path) -> None:
    lacking = list(missing(manifest.requires, folder))
    if lacking:
        raise ExtensionError(
            "error.extension.requires", extension=manifest.name, missing=", ".join(lacking)
        )


def _check_names(extension: Extension, others: Sequence[Extension]) -> None:
    """A name that exists already would make a picture's text mean two things."""
    samplers = [*SAMPLERS, *(row for each in others for row in each.offers.samplers)]
    upscalers = [row for each in others for row in each.upscalers_now()]
    for what, names, known in (
        (
            "sampler",
            [row.name for row in extension.offers.samplers],
            [row.name for row in samplers],
        ),
        (
            "upscaler",
            [row.name for row in extension.offers.upscalers],
            [row.name for row in upscalers],
        ),
    ):
        taken = {folded(name) for name in known}
        for name in names:
            if folded(name) in taken:
                raise ExtensionError(
                    "error.extension.doubled", extension=extension.name, what=what, found=name
                )
            taken.add(folded(name))
