"""Legacy weight files (`.ckpt`, `.pt`, `.bin`): converted to safetensors once, by a process that can run none of their code."""

import hashlib
import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from modules.errors import ModelFileError, UserError, reason
from modules.library.headers import read_header

log = logging.getLogger(__name__)

READER = Path(__file__).parent / "pickle_reader.py"
SECONDS = 600
SPARE_BYTES = 2_000_000_000
"""Memory for the process beyond the file's size."""


class Converter:
    """Keeps converted files in a folder, by the original's place, size and time of change.

    The original is never changed. A copy of a file that was changed or moved is left lying; the folder is a cache
    and may be emptied at any time.
    """

    def __init__(self, folder: Path, seconds: int = SECONDS) -> None:
        self._folder = folder
        self._seconds = seconds

    def known(self, path: Path) -> Path | None:
        """The safetensors copy of `path`, if there is one."""
        try:
            copy = self._place(path)
        except OSError:
            return None
        return copy if copy.is_file() else None

    def get(self, path: Path) -> Path:
        """The safetensors copy of `path`, made now if there is none yet.

        Raises:
            ModelFileError: the file is damaged, or wants to run something (the text says what; nothing was run).
        """
        found = self.known(path)
        return found or self.convert(path)

    def convert(self, path: Path) -> Path:
        """Make the copy anew.

        Raises:
            ModelFileError: see `get`.
        """
        if path.is_dir():
            raise ModelFileError("error.model.read", file=path, why=UserError("why.os.folder"))
        try:
            size = path.stat().st_size
            target = self._place(path)
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelFileError("error.model.read", file=path, why=reason(error)) from error
        part = target.with_name(f"{target.stem}.{os.getpid()}.part")
        try:
            part.unlink(missing_ok=True)
            answer = self._ask(path, part, size + SPARE_BYTES)
            if "refused" in answer:
                raise ModelFileError("error.model.refused", file=path, found=answer["refused"])
            if "memory" in answer:
                raise ModelFileError(
                    "error.model.convert_resources", file=path, seconds=self._seconds
                )
            if "tensors" not in answer:
                kind, _, said = str(answer.get("error")).partition(": ")
                log.info("%s: %s: %s", path, kind, said)
                why = (
                    said if kind == "ValueError" else UserError("why.pickle")
                )  # ours name the tensor
                raise ModelFileError("error.model.convert", file=path, why=why)
            read_header(part)
            os.replace(part, target)
        except OSError as error:
            raise ModelFileError("error.model.convert", file=path, why=reason(error)) from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return target

    def _ask(self, path: Path, part: Path, most_bytes: int) -> dict[str, object]:
        # Isolated: neither the folder it starts in nor the environment adds anything to what it imports.
        command = [sys.executable, "-I", str(READER), str(path.resolve()), str(part)]
        command += [str(self._seconds), str(most_bytes)]
        kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP")
        environ = {name: os.environ[name] for name in kept if name in os.environ}
        # One thread: each further one of numpy's would reserve memory of its own.
        environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                timeout=self._seconds,
                env=environ,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"memory": True}
        if done.returncode < 0:  # ended by a limit
            return {"memory": True}
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            return {"error": lines[-1][:300] if lines else f"exit {done.returncode}"}
        return answer if isinstance(answer, dict) else {"error": "no answer"}

    def _place(self, path: Path) -> Path:
        state = path.stat()
        text = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
        key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return self._folder / f"{path.stem[:80]}-{key}.safetensors"
