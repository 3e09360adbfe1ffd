"""Fetching one commit of a git repository.

git is told to speak https and nothing else, to ask nobody, to run no hook and to check nothing out: the files come
as an archive, which is unpacked as carefully as any other. No configuration of the user or the system is read.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from modules.errors import ExtensionError
from modules.plugins.install.files import MOST_BYTES, unpack_zip

SCHEMES = ("https",)
SECONDS = 300.0
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LOOK_SECONDS = 0.2


def split_source(source: str) -> tuple[str, str]:
    """`URL@commit` or `URL#commit` -> (URL, commit); without a commit that is empty."""
    for mark in ("@", "#"):
        url, found, commit = source.rpartition(mark)
        if found and _COMMIT.fullmatch(commit):
            return url, commit
    return source, ""


def check_url(url: str, schemes: Sequence[str] = SCHEMES) -> None:
    """Refuse whatever is not the plain address of a repository.

    Raises:
        ExtensionError: says what was found and what is allowed.
    """
    try:
        parts = urlsplit(url)
        host, user = parts.hostname, parts.username or parts.password
    except ValueError:
        parts, host, user = urlsplit(""), None, None
    odd = any(letter.isspace() or ord(letter) < 33 or ord(letter) > 126 for letter in url)
    if (
        odd
        or url.startswith("-")
        or parts.scheme not in schemes
        or (parts.scheme != "file" and not host)
        or (host or "").startswith("-")
        or user
        or parts.query
        or parts.fragment
        or len(url) > 500
    ):
        raise ExtensionError(
            "error.install.url",
            found=url[:120],
            allowed=", ".join(f"{each}://" for each in schemes),
        )


def newest(url: str, schemes: Sequence[str] = SCHEMES) -> str:
    """The commit that the repository's main branch is at, in full.

    Raises:
        ExtensionError: the address is none, or nobody answers.
    """
    check_url(url, schemes)
    with tempfile.TemporaryDirectory() as empty:
        answer = _git(["ls-remote", "--", url, "HEAD"], Path(empty), schemes, url)
    commit = answer.split()[0] if answer.split() else ""
    if not _COMMIT.fullmatch(commit):
        raise ExtensionError("error.install.git", url=url, why="no HEAD")
    return commit


def fetch(url: str, commit: str, target: Path, schemes: Sequence[str] = SCHEMES) -> None:
    """Put the files of exactly that commit into the new folder `target`.

    Raises:
        ExtensionError: the address or the commit is none, or what comes cannot be taken.
    """
    check_url(url, schemes)
    if not _COMMIT.fullmatch(commit):
        raise ExtensionError("error.install.commit", found=commit[:80])
    with tempfile.TemporaryDirectory(prefix="noisette-git-") as folder:
        place = Path(folder) / "repository.git"
        _git(["init", "--quiet", "--bare", "--template=", str(place)], Path(folder), schemes, url)
        only = [
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ]
        _git(["fetch", *only, "--", url, commit], place, schemes, url)
        archive = Path(folder) / "files.zip"
        _git(["archive", "--format=zip", f"--output={archive}", commit], place, schemes, url)
        unpack_zip(archive, target)


def _git(words: Sequence[str], folder: Path, schemes: Sequence[str], url: str) -> str:
    settings = {
        "protocol.allow": "never",
        **{f"protocol.{scheme}.allow": "always" for scheme in schemes},
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "core.symlinks": "false",
        "core.attributesFile": os.devnull,
        "credential.helper": "",
        "http.followRedirects": "initial",
        "fetch.fsckObjects": "true",
    }
    command = ["git"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    try:
        process = subprocess.Popen(
            [*command, *words],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise ExtensionError("error.install.no_git") from error
    try:
        out, problem = _watched(process, folder)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
    if process.returncode != 0:
        lines = problem.strip().splitlines() or [f"exit {process.returncode}"]
        raise ExtensionError("error.install.git", url=url, why=lines[-1][:300])
    return out


def _watched(process: "subprocess.Popen[bytes]", folder: Path) -> tuple[str, str]:
    """Wait for it, and end it when it takes too long or fetches too much."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            out, problem = process.communicate(timeout=_LOOK_SECONDS)
            return out.decode("utf-8", "replace"), problem.decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if size > MOST_BYTES or time.monotonic() > until:
                process.kill()
                _, problem = process.communicate()
                return "", problem.decode(
                    "utf-8", "replace"
                ) + "\nit took too long or was too large"


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "SSH_")) and name != "HOME"
    }
    return {
        **kept,
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "LC_ALL": "C",
    }
