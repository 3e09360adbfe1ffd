"""A client of `/api/v2` in one file that needs nothing but Python: copy it into a program of your own, or import it.

from modules.client import Client

noisette = Client("http://127.0.0.1:7860")
for data in noisette.generate(prompt="a red apple", seed=5):
    open("apple.png", "wb").write(data)
"""

import http.client
import json
import secrets
import select
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

_AGAIN = 5
"""How often a broken connection is made anew while a job is followed."""

_KEPT_SECONDS = 2.0
"""A server closes what has been idle for a while (ours after 5 s); a request that crosses that on its way fails."""


class NoisetteError(Exception):
    """What the server answered: `status` of HTTP, `key` for programs, the text in English, `messages` by language."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message") or f"HTTP {status}"))
        self.status = status
        self.key = str(error.get("key", ""))
        self.field = error.get("field")
        self.messages: Mapping[str, str] = error.get("messages") or {"en": str(self)}


class JobFailed(NoisetteError):
    """A job that was waited for ended without its pictures; `job` is how it ended."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        super().__init__(200, job.get("error") or {"message": f"job {job['id']} is {job['state']}"})
        self.job = job


class Client:
    """One caller. Every method raises `NoisetteError` for a refusal and `OSError` where the server cannot be reached.

    Jobs belong to `visitor`, 32 hexadecimal digits: give the same ones to see the same jobs again. `token` is sent
    as `Authorization: Bearer`, where the server wants one. Several threads may use one client.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:7860",
        *,
        visitor: str | None = None,
        token: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a server, such as http://127.0.0.1:7860")
        self.visitor = visitor or secrets.token_hex(16)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/") + "/api/v2"
        self._timeout = timeout
        self._headers = {"Cookie": f"noisette_visitor={self.visitor}", "Accept": "*/*"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []

    def close(self) -> None:
        """Close the connections that are kept for the next request; there may be one."""
        while self._idle:
            try:
                connection, _ = self._idle.pop()
            except IndexError:  # another thread was quicker
                return
            connection.close()

    def __del__(self) -> None:
        if hasattr(self, "_idle"):  # it was an address of a server
            self.close()

    # ------------------------------------------------------------------------------------------- jobs

    def submit(self, **request: Any) -> dict[str, Any]:
        """Queue a job; `request` has the fields of a generation request. The job with its id."""
        return self._json("POST", "/jobs", request)

    def jobs(self, **query: Any) -> dict[str, Any]:
        """`jobs` and `counts`; `state`, `oldest_first`, `limit`, `offset`, `all` choose which."""
        return self._json("GET", "/jobs", query=query)

    def job(self, number: int, **query: Any) -> dict[str, Any]:
        """One job."""
        return self._json("GET", f"/jobs/{number}", query=query)

    def cancel(self, number: int, **query: Any) -> dict[str, Any]:
        """Cancel a job; how it stands."""
        return self._json("POST", f"/jobs/{number}/cancel", query=query)

    def cancel_waiting(self, **query: Any) -> int:
        """Cancel all waiting jobs; how many."""
        return int(self._json("DELETE", "/jobs", query=query)["cancelled"])

    def retry(self, number: int, **query: Any) -> dict[str, Any]:
        """Queue a failed or cancelled job again."""
        return self._json("POST", f"/jobs/{number}/retry", query=query)

    def move(self, number: int, place: int, **query: Any) -> dict[str, Any]:
        """Give a waiting job another place among one's own; 0 is next."""
        return self._json("POST", f"/jobs/{number}/move", {"place": place}, query=query)

    def follow(
        self, number: int, *, previews: bool = False
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events of a job until it is over: `progress`, `preview`, `picture`, `end`.

        A connection that breaks is made anew; what was told already may then be told again, pictures are not.
        """
        shown: set[int] = set()
        failures = 0
        while True:
            try:
                for name, data in self._events(number, previews):
                    failures = 0
                    if name == "error":
                        raise NoisetteError(503, data.get("error", {}))
                    if name == "picture":
                        if data["id"] in shown:
                            continue
                        shown.add(data["id"])
                    yield name, data
                    if name == "end":
                        return
            except (OSError, http.client.HTTPException):
                failures += 1
                if failures > _AGAIN:
                    raise
            time.sleep(0.2 * 2**failures)

    def wait(self, number: int) -> dict[str, Any]:
        """The job once it is over, however it ended."""
        for name, data in self.follow(number):
            if name == "end":
                return data
        raise AssertionError("a stream ends with its end")

    def generate(self, **request: Any) -> list[bytes]:
        """Submit, wait, fetch: the files of the pictures.

        Raises:
            JobFailed: it failed or was cancelled.
        """
        job = self.wait(self.submit(**request)["id"])
        if job["state"] != "done":
            raise JobFailed(job)
        return [self.file(picture["id"]) for picture in job["pictures"]]

    # ------------------------------------------------------------------------------------------- pictures

    def pictures(self, **search: Any) -> dict[str, Any]:
        """`pictures` and `more`; `text`, `seed`, `job`, `since`, `until`, `limit`, `offset` choose which."""
        return self._json("GET", "/pictures", query=search)

    def file(self, number: int) -> bytes:
        """The file of a picture."""
        return self._ask("GET", f"/pictures/{number}/file")

    def hand_in(self, data: bytes) -> dict[str, Any]:
        """Hand a picture in; its `id` is for `img2img.image`, and its size."""
        return dict(json.loads(self._ask("POST", "/inputs", data, "application/octet-stream")))

    # ------------------------------------------------------------------------------------------- what there is

    def models(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """The checkpoints."""
        return list(self._json("GET", "/models", query={"refresh": refresh})["models"])

    def names(self) -> dict[str, Any]:
        """Samplers, schedules, upscalers, VAEs."""
        return self._json("GET", "/names")

    def extensions(self) -> list[dict[str, Any]]:
        """The extensions with the JSON Schema of their options."""
        return list(json.loads(self._ask("GET", "/extensions")))

    def health(self) -> dict[str, Any]:
        """How the service is."""
        return self._json("GET", "/health")

    def metrics(self) -> str:
        """Figures in Prometheus' text format; for the owner."""
        return self._ask("GET", "/metrics").decode()

    # ------------------------------------------------------------------------------------------- inside

    def _json(
        self, method: str, path: str, body: object = None, query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        return dict(json.loads(self._ask(method, path, data, "application/json", query)))

    def _ask(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        kind: str = "",
        query: Mapping[str, Any] | None = None,
    ) -> bytes:
        connection = self._kept() or self._connect()
        keep = False
        try:
            answer = self._send(connection, method, path, data, kind, query)
            body = answer.read()
            keep = not answer.will_close
        finally:
            if keep:
                self._idle.append((connection, time.monotonic()))
            else:
                connection.close()
        if answer.status >= 400:
            raise NoisetteError(answer.status, _error(body))
        return body

    def _kept(self) -> http.client.HTTPConnection | None:
        """A connection that an earlier request left open, and that the server has not closed since."""
        while self._idle:
            try:
                connection, since = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if time.monotonic() - since < _KEPT_SECONDS and _is_open(connection):
                return connection
            connection.close()
        return None

    def _events(self, number: int, previews: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        connection = self._connect()
        try:
            query = {"previews": previews}
            answer = self._send(connection, "GET", f"/jobs/{number}/events", query=query)
            if answer.status >= 400:
                raise NoisetteError(answer.status, _error(answer.read()))
            name, data = "message", ""
            for raw in answer:
                line = raw.decode().rstrip("\r\n")
                field, _, value = line.partition(":")
                if field == "event":
                    name = value.strip()
                elif field == "data":
                    data += value.strip()
                elif not line and data:
                    yield name, json.loads(data)
                    name, data = "message", ""
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        data: bytes | None = None,
        kind: str = "",
        query: Mapping[str, Any] | None = None,
    ) -> http.client.HTTPResponse:
        given = {key: _plain(value) for key, value in (query or {}).items() if value is not None}
        target = self._base + path + (f"?{urlencode(given, doseq=True)}" if given else "")
        headers = {**self._headers, **({"Content-Type": kind} if data is not None else {})}
        connection.request(method, target, data, headers)
        return connection.getresponse()


def _is_open(connection: http.client.HTTPConnection) -> bool:
    try:
        # Whatever can be read before anything was asked is the end of it.
        return bool(connection.sock) and not select.select([connection.sock], [], [], 0)[0]
    except ValueError:  # select knows no numbers above 1023, and a program may have those
        return False


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _error(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {"message": body.decode("utf-8", "replace")[:500]}
    return found if isinstance(found, dict) else {"message": str(found)}
