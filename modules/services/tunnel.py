"""A public address for a port of this machine: Gradio's share server and its frpc program (version 0.3).

The server says where to connect (`SERVER`), frpc connects there and prints the address it was given. The program is
looked for in the data folder and where Gradio keeps its own; it is fetched otherwise, and in each case run only if
its SHA-256 is the known one. Its words on the command line are no secret: a name for the tunnel, addresses, files.
"""

import hashlib
import json
import os
import platform
import re
import secrets
import subprocess
import threading
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from modules.errors import UserError, reason
from modules.services.disk import write_passing

SERVER = "https://api.gradio.app/v3/tunnel-request"
PROGRAMS = "https://cdn-media.huggingface.co/frpc-gradio-0.3"
SHA256 = {
    "frpc_linux_amd64": "c791d1f047b41ff5885772fc4bf20b797c6059bbd82abb9e31de15e55d6a57c4",
    "frpc_linux_arm64": "823ced25104de6dc3c9f4798dbb43f20e681207279e6ab89c40e2176ccbf70cd",
    "frpc_darwin_amd64": "930f8face3365810ce16689da81b7d1941fda4466225a7bbcbced9a2916a6e15",
    "frpc_darwin_arm64": "dfac50c690aca459ed5158fad8bfbe99f9282baf4166cf7c410a6673fbc1f327",
    "frpc_windows_amd64.exe": "14bc0ea470be5d67d79a07412bd21de8a0a179c6ac1116d7764f68e942dc9ceb",
}
_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}
_SECONDS = 30.0
_MOST_BYTES = 64 * 2**20
_SUCCESS = re.compile(r"start proxy success: (\S+)")
_FAILURE = "login to server failed"


class Tunnel(Protocol):
    """What `modules.services.sharing` asks of a tunnel; one is opened once."""

    def open(self, port: int) -> str:
        """Lead a public address to `port` of this machine; the address.

        Raises:
            UserError: it cannot be had, and why.
        """

    def wait(self) -> None:
        """Return when it is gone, however that came about."""

    def close(self) -> None:
        """Take it down; at any time, also twice."""


@dataclass(frozen=True)
class Server:
    """Where the tunnel's other end is, and the certificate that it is known by."""

    host: str
    port: int
    certificate: str


class Frpc:
    """A tunnel through Gradio's share server; `folder` keeps the program and the certificate."""

    def __init__(
        self,
        folder: Path,
        *,
        server: Callable[[], Server] | None = None,
        program: Callable[[Path], Path] | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        """`server` and `program` say where to connect and with what; tests hand in their own."""
        self._folder = folder
        self._server = server or ask_server
        self._program = program or find_program
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def open(self, port: int) -> str:
        """See `Tunnel`."""
        server = self._server()
        program = self._program(self._folder)
        certificate = self._folder / "certificate.pem"
        try:
            write_passing(certificate, server.certificate.encode())
            with self._lock:
                if self._closed:
                    raise UserError("error.share.stopped")
                self._process = subprocess.Popen(
                    _words(program, port, server, certificate),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                )
        except OSError as error:
            raise UserError("error.share.program", path=program, why=reason(error)) from error
        return self._address(self._process)

    def wait(self) -> None:
        """See `Tunnel`."""
        if self._process is not None:
            self._process.wait()

    def close(self) -> None:
        """See `Tunnel`."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _address(self, process: subprocess.Popen[bytes]) -> str:
        """What it prints of its address; the rest is read away, or it would stand still with a full pipe."""
        said: deque[str] = deque(maxlen=20)
        found: list[str] = []
        told = threading.Event()

        def read() -> None:
            assert process.stdout is not None
            with process.stdout:
                for raw in process.stdout:
                    line = raw.decode("utf-8", "replace").strip()[:300]
                    said.append(line)
                    success = _SUCCESS.search(line)
                    if success:
                        found.append(success.group(1))
                    if success or _FAILURE in line:
                        told.set()
            told.set()

        threading.Thread(target=read, name="tunnel", daemon=True).start()
        told.wait(self._seconds)
        if found:
            address = found[0]
            parts = urlsplit(address)
            if parts.scheme in ("http", "https") and parts.hostname:
                return address.rstrip("/")
        self.close()
        last = said[-1] if said else ""
        raise UserError("error.share.refused", why=last or UserError("why.share.silent"))


def ask_server() -> Server:
    """Where to connect.

    Raises:
        UserError: nobody answers, or not with that.
    """
    try:
        with _fetch(SERVER) as answer:
            first = json.loads(answer.read(2**20))[0]
            return Server(str(first["host"]), int(first["port"]), str(first["root_ca"]))
    except OSError as error:
        raise UserError("error.share.offline", why=_why(error)) from error
    except (HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError("error.share.offline", why=UserError("why.share.odd")) from error


def find_program(folder: Path) -> Path:
    """The program, certainly the known one.

    Raises:
        UserError: there is none for this system, it cannot be fetched, or it is another one.
    """
    name = program_name()
    known = SHA256.get(name)
    if known is None:
        raise UserError("error.share.system", system=name)
    own = folder / name
    for place in (own, *_gradios(name)):
        if place.is_file():
            return _checked(place, known)
    try:
        with _fetch(f"{PROGRAMS}/{name}") as answer:
            data = answer.read(_MOST_BYTES)
    except OSError as error:
        raise UserError("error.share.fetch", path=own, why=_why(error)) from error
    except HTTPException as error:  # the connection broke in the middle of it
        why = UserError("why.share.odd")
        raise UserError("error.share.fetch", path=own, why=why) from error
    if hashlib.sha256(data).hexdigest() != known:
        raise UserError("error.share.other", path=PROGRAMS)
    try:
        write_passing(own, data)
        own.chmod(0o700)
    except OSError as error:
        raise UserError("error.share.program", path=own, why=reason(error)) from error
    return own


def program_name() -> str:
    """What it is called for this system."""
    machine = _MACHINES.get(platform.machine(), platform.machine().lower())
    suffix = ".exe" if os.name == "nt" else ""
    return f"frpc_{platform.system().lower()}_{machine}{suffix}"


def _gradios(name: str) -> Iterator[Path]:
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    stem = name.removesuffix(".exe")
    yield Path(home) / "gradio" / "frpc" / f"{stem}_v0.3"


def _checked(path: Path, known: str) -> Path:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError("error.share.program", path=path, why=reason(error)) from error
    if found != known:
        raise UserError("error.share.other", path=path)
    return path


def _words(program: Path, port: int, server: Server, certificate: Path) -> list[str]:
    return [
        str(program), "http",
        "-n", secrets.token_urlsafe(32),
        "-l", str(port),
        "-i", "127.0.0.1",
        "--uc", "--sd", "random", "--ue",
        "--server_addr", f"{server.host}:{server.port}",
        "--disable_log_color",
        "--tls_enable", "--tls_trusted_ca_file", str(certificate),
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    """What a foreign program needs of ours: no tokens, no settings."""
    return {
        name: os.environ[name]
        for name in ("PATH", "SYSTEMROOT", "TMP", "TEMP")
        if name in os.environ
    }


def _fetch(address: str) -> "urllib.request._UrlopenRet":
    request = urllib.request.Request(address, headers={"User-Agent": "noisette"})
    return urllib.request.urlopen(request, timeout=15)


def _why(error: OSError) -> UserError:
    inner = getattr(error, "reason", error)
    return reason(inner if isinstance(inner, OSError) else error)
