"""What has worked elsewhere, tried here by a guest and by a stranger: docs of CVEs and our own trials of Gradio."""

import base64
import io
import re
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest
from PIL import Image
from starlette.testclient import TestClient

from modules.api.rules import rule_for
from tests.api.access.conftest import HOST, PASSWORD, Shared, routes
from tests.api.access.test_matrix import example

EVIL = "https://evil.example"


@pytest.fixture
def busy(shared: Shared) -> Iterator[TestClient]:
    """A guest of his own, who may ask as often as the test likes."""
    client = shared.client(secret=PASSWORD)
    client.get("/")
    with pytest.MonkeyPatch.context() as patch:
        for bucket in (shared.app._gate._requests, shared.app._gate._megabytes):
            patch.setattr(bucket, "burst", 1e9)
            patch.setattr(bucket, "per_second", 1e9)
        yield client


# ------------------------------------------------------------------------------------------- other sites

ORIGINS = (EVIL, "null", "http://localhost:9999", f"http://{HOST}.evil.example", "file://")
KINDS = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
)


def test_no_change_comes_from_another_site(shared: Shared, guest: TestClient):
    before = shared.studio.counts()
    changing = [(m, p) for m, p in set(routes(shared.parent)) if m not in ("GET", "HEAD")]
    assert len(changing) > 40
    for number, (method, path) in enumerate(sorted(changing)):
        headers = {
            "origin": ORIGINS[number % len(ORIGINS)],
            "content-type": KINDS[number % len(KINDS)],
        }
        answer = guest.request(method, example(path), content=b"{}", headers=headers)
        assert answer.status_code in (403, 404), (method, path)
        assert "access-control-allow-origin" not in answer.headers
    assert shared.studio.counts() == before


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_origin_and_kind_at_the_queue(
    guest: TestClient, shared: Shared, origin: str, kind: str
):
    before = shared.studio.counts()
    for path in ("/api/v2/jobs", "/gradio_api/queue/join", "/gradio_api/component_server"):
        headers = {"origin": origin, "content-type": kind}
        assert guest.post(path, content=b'{"prompt": "x"}', headers=headers).status_code == 403
    assert shared.studio.counts() == before


@pytest.mark.parametrize(
    "host",
    [HOST, "127.0.0.1:7860", "[::1]:7860", "abc123.gradio.live", "192.168.1.5", "evil.example"],
)
def test_no_host_makes_another_origin_welcome(guest: TestClient, host: str):
    for method in ("GET", "OPTIONS", "POST"):
        for path in ("/", "/config", "/api/v2/jobs", "/gradio_api/queue/join"):
            answer = guest.request(
                method,
                path,
                headers={"host": host, "origin": EVIL, "access-control-request-method": "POST"},
            )
            assert not any(name.startswith("access-control") for name in answer.headers), path


def test_a_rebound_name_gets_nothing(stranger: TestClient):
    for path in ("/", "/login", "/healthz"):
        answer = stranger.get(path, headers={"host": "rebound.evil.example:7860"})
        assert answer.status_code == 421
        assert "Noisette</title>" not in answer.text


@pytest.mark.parametrize(
    "header", ["x-forwarded-host", "x-original-url", "x-rewrite-url", "forwarded"]
)
def test_no_header_makes_another_path_of_it(guest: TestClient, header: str):
    answer = guest.get("/ui/extensions", headers={header: "/healthz"})
    assert answer.status_code == 403


# ------------------------------------------------------------------------------------------- paths

PATHS = (
    "..%2f..%2fetc%2fpasswd",
    "../../etc/passwd",
    "....//....//etc/passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%252f..%252fetc%252fpasswd",
    "%00",
    "1%00.png",
    "C:%5CWindows%5Cwin.ini",
    "%5C%5C127.0.0.1%5Cc$%5Cx",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "a" * 300,
    "\u202egnp.exe",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out(busy: TestClient, owner: TestClient, path: str):
    for prefix in (
        "/files/picture/", "/files/thumb/", "/ui/inputs/", "/ui/read/", "/ui/", "/api/v2/pictures/",
        "/gradio_api/file=", "/gradio_api/file/", "/file=", "/static/", "/assets/", "/svelte/",
    ):  # fmt: skip
        for client in (busy, owner):
            answer = client.get(prefix + path)
            assert answer.status_code in (400, 403, 404, 405, 422), (prefix, answer.status_code)
            assert "root:" not in answer.text


@pytest.mark.parametrize(
    "path", ["/ui/extensions/..%2fstate", "/UI/EXTENSIONS", "/ui//extensions", "/ui/extensions/", "/ui/./extensions",
             "/login/../ui/extensions", "/healthz/../api/v2/metrics", "/api/v2/metrics/", "/login%2f..%2fui%2fextensions"]
)  # fmt: skip
def test_no_spelling_gets_around_the_table(guest: TestClient, shared: Shared, path: str):
    answer = guest.get(path)
    assert answer.status_code in (403, 404), answer.text[:200]
    # Without a session at all, neither.
    assert shared.client().get(path).status_code in (401, 404)


def test_no_function_copies_a_local_file(shared: Shared, busy: TestClient, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("noisette-secret-content", encoding="utf-8")
    cache = shared.folder / "data" / "gradio"
    before = {path for path in cache.rglob("*") if path.is_file()}
    assert shared.page.blocks.has_launched, "without it Gradio looks at no path"
    for number, function in shared.page.blocks.fns.items():
        for path in ("/etc/passwd", str(secret)):
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            body = {
                "data": [file] * max(1, len(function.inputs)),
                "fn_index": number,
                "session_hash": "x",
            }
            text = busy.post("/gradio_api/run/predict", json=body).text
            assert "noisette-secret-content" not in text
            assert "root:" not in text
            assert str(cache) not in text
    assert {path for path in cache.rglob("*") if path.is_file()} == before


def test_files_are_shut_in(shared: Shared, busy: TestClient):
    job = busy.post("/api/v2/jobs", json={"prompt": "a fig", "steps": 1, "seed": 3}).json()["id"]
    end = time.monotonic() + 60
    while not shared.studio.job(job).pictures and time.monotonic() < end:
        time.sleep(0.02)
    picture = shared.studio.job(job).pictures[0].id
    for path in (f"/files/picture/{picture}", f"/api/v2/pictures/{picture}/file"):
        headers = busy.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    other = shared.client(secret=PASSWORD)
    other.get("/")
    for path in (f"/files/picture/{picture}", f"/files/thumb/{picture}", f"/api/v2/pictures/{picture}/file",
                 f"/ui/read/{picture}", f"/api/v2/jobs/{job}", f"/api/v2/jobs/{job}/preview"):  # fmt: skip
        answer = other.get(path)
        assert answer.status_code in (400, 404), path
        assert "a fig" not in answer.text
    assert other.post(f"/ui/jobs/{job}/cancel").status_code == 404
    assert other.post(f"/api/v2/jobs/{job}/cancel").status_code == 404


def told(answer, number: int) -> tuple:
    """All of an answer, without the number that was asked for, which is said again, and without how long that is."""
    headers = [row for row in answer.headers.multi_items() if row[0] != "content-length"]
    return (
        answer.status_code,
        re.sub(rf"\b{number}\b", "N", answer.text.encode().decode("unicode-escape")),
        headers,
    )


def test_anothers_picture_is_answered_as_one_that_is_not_there(shared: Shared, busy: TestClient):
    job = busy.post("/api/v2/jobs", json={"prompt": "a fig", "steps": 1, "seed": 4}).json()["id"]
    end = time.monotonic() + 60
    while not shared.studio.job(job).pictures and time.monotonic() < end:
        time.sleep(0.02)
    there = shared.studio.job(job).pictures[0].id
    other = shared.client(secret=PASSWORD)
    other.get("/")
    missing = there + 100_000
    for method, path in (
        ("GET", "/ui/read/{}"),
        ("POST", "/ui/inputs/from/{}"),
        ("GET", "/files/picture/{}"),
        ("GET", "/files/thumb/{}"),
        ("GET", "/api/v2/pictures/{}"),
        ("GET", "/api/v2/pictures/{}/file"),
    ):
        found, none = (
            told(other.request(method, path.format(number)), number) for number in (there, missing)
        )
        assert found == none and found[0] in (400, 404), path


# ------------------------------------------------------------------------------------------- fetching for others


class _Canary(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.hits.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def canary() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Canary) as server:
        server.hits = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_nobody_is_fetched_for(busy: TestClient, owner: TestClient, canary: HTTPServer):
    port = canary.server_port
    hosts = (
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0",
        "0x7f000001",
        "2130706433",
        "127.1",
        "169.254.169.254",
    )
    for host in hosts:
        url = f"http://{host}:{port}/x.png"
        for client in (busy, owner):
            for prefix in ("/gradio_api/file=", "/gradio_api/proxy=", "/file="):
                assert client.get(prefix + url).status_code in (403, 404)
        asked = {"prompt": "x", "img2img": {"image": url}}
        assert busy.post("/api/v2/jobs", json=asked).status_code == 422
        assert busy.post("/ui/inputs", content=url.encode()).status_code == 400
    for scheme in ("gopher", "file", "ftp", "data"):
        assert busy.get(f"/gradio_api/file={scheme}://127.0.0.1:{port}/").status_code in (403, 404)
    assert canary.hits == []


# ------------------------------------------------------------------------------------------- bombs


def png(width: int, height: int, *more: tuple[bytes, bytes]) -> bytes:
    """A picture of one bit a pixel, small as a file however large it says it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    row = b"\0" * (1 + (min(width, 10**6) + 7) // 8)  # what is beyond is only said
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(row * 64) for _ in range(height // 64)) + packer.flush()
    extra = b"".join(chunk(*each) for each in more)
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animation() -> bytes:
    frames = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in range(60)]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    return data.getvalue()


BOMBS = {
    "13000 x 13000": lambda: png(13_000, 13_000),
    "20000 x 20000": lambda: png(20_000, 20_000),
    "says that it is huge": lambda: png(2**31 - 1, 64),
    "GIF": animation,
    "FITS": lambda: b"SIMPLE  =                    T" + b" " * 2850,
    "PDF": lambda: b"%PDF-1.7\n1 0 obj\n<<>>\nendobj",
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "HTML": lambda: b"<html><script>alert(1)</script>",
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "pickle": lambda: b"\x80\x04\x95cposix\nsystem\n",
    "cut off": lambda: png(640, 640)[:60],
    "empty": lambda: b"",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_without_being_unpacked(busy: TestClient, name: str):
    data = BOMBS[name]()
    memory = psutil.Process().memory_info().rss
    for path in ("/ui/inputs", "/api/v2/inputs"):
        answer = busy.post(path, content=data)
        assert answer.status_code in (400, 413, 422), answer.text[:200]
    assert psutil.Process().memory_info().rss - memory < 200e6


def test_texts_in_pictures_are_bounded(busy: TestClient):
    text = zlib.compress(b"x" * 900_000, 9)
    chunks = [(b"zTXt", b"parameters%d\0\0" % n + text) for n in range(100)]
    answer = busy.post("/ui/read", content=png(64, 64, *chunks))
    assert answer.status_code in (200, 400, 413)
    assert len(answer.content) < 2_000_000


@pytest.mark.parametrize("boundary", ["x" * 100_000, "-" * 8000])
def test_forms_are_no_way_in(busy: TestClient, boundary: str):
    """CVE-2024-10935, CVE-2024-12074: padding of the boundary, names of a megabyte."""
    body = f'--{boundary}\r\ncontent-disposition: form-data; name="files"; filename="{"a" * 900_000}"\r\n\r\nx'
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    for path in ("/gradio_api/upload", "/ui/inputs", "/login", "/gradio_api/component_server"):
        answer = busy.post(path, content=body.encode(), headers=headers)
        assert 400 <= answer.status_code < 500, (path, answer.status_code)


# ------------------------------------------------------------------------------------------- numbers and texts


@pytest.mark.parametrize(
    "field", ["width", "height", "steps", "batch_size", "batch_count", "cfg_scale", "clip_skip"]
)
def test_no_number_reaches_the_engine_unbounded(shared: Shared, busy: TestClient, field: str):
    values = ["1e9", "-1e9", "1e308", "1e400", "-1", "NaN", "Infinity", '"x"', "[]", "{}"]
    for value in values:
        _refused(busy, field, value)


def _refused(busy: TestClient, field: str, value: str) -> None:
    answer = busy.post(
        "/api/v2/jobs",
        content=f'{{"prompt": "x", "{field}": {value}}}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()["error"]["messages"]) == {"en", "zh"}


@pytest.mark.parametrize(
    "text", ["(a:" * 10_000, " " * 32_000, "(" * 16_000 + "a" + ")" * 16_000, "[a|b" * 8_000, "<lora:" * 5_000, "\x00\x1b[31m" * 100]
)  # fmt: skip
def test_no_prompt_takes_long(busy: TestClient, text: str):
    before = time.process_time()
    answer = busy.post("/api/v2/jobs", json={"prompt": text, "steps": 1})
    assert answer.status_code in (202, 422, 429)
    assert busy.post("/ui/tokens", json={"text": text}).status_code == 200
    assert time.process_time() - before < 5
    busy.delete("/api/v2/jobs")


def test_nothing_that_was_typed_stands_in_the_document(shared: Shared, busy: TestClient):
    nasty = '"><script>window.__x=1</script><img src=x onerror=alert(1)>'
    busy.post("/api/v2/jobs", json={"prompt": nasty, "steps": 1})
    busy.put("/ui/drafts/txt2img", json={"prompt": nasty})
    assert "window.__x=1" not in busy.get("/").text
    assert busy.get("/ui/lists").headers["content-type"] == "application/json"
    for path in ("/nothing/<script>", "/files/picture/<script>", "/login?lang=<script>"):
        answer = busy.get(path)
        assert "<script>alert" not in answer.text
        assert '<script>"' not in answer.text


def test_guests_learn_no_paths(shared: Shared, guest: TestClient):
    for path in ("/", "/config", "/ui/state", "/ui/lists", "/ui/models", "/ui/access", "/api/v2/models",
                 "/api/v2/names", "/api/v2/health", "/theme.css"):  # fmt: skip
        assert str(shared.folder) not in guest.get(path).text, path


def test_what_a_request_cannot_name(shared: Shared, busy: TestClient):
    """No path and no setting of the program is a field of a request, so none can be set from afar."""
    for name in (
        "output",
        "outputs_dir",
        "data_dir",
        "filename",
        "outdir_samples",
        "override_settings",
        "host",
    ):
        answer = busy.post("/api/v2/jobs", json={"prompt": "x", name: "/etc"})
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == name
    for model in ("/etc/passwd", "../../x", "http://127.0.0.1/x.safetensors", "x.ckpt"):
        assert busy.post("/api/v2/jobs", json={"prompt": "x", "model": model}).status_code in (
            404,
            422,
        )


def test_base64_of_any_size_is_just_a_wrong_request(busy: TestClient):
    text = base64.b64encode(b"x" * 700_000).decode()
    answer = busy.post("/api/v2/jobs", json={"prompt": "x", "img2img": {"image": text}})
    assert answer.status_code == 422
    assert len(answer.content) < 5_000
    assert busy.post("/api/v2/jobs", content=b"[" * 900_000).status_code in (400, 422)
    assert rule_for("POST", "/api/v2/jobs").body < 2**21


def test_a_guest_with_too_many_open_answers_is_told(
    shared: Shared, guest: TestClient, owner: TestClient, monkeypatch: pytest.MonkeyPatch
):
    crowd = shared.app._crowd
    assert not crowd._guests and not crowd._strangers, "whoever was answered has left"
    monkeypatch.setattr(crowd, "of_one_guest", 0)
    answer = guest.get("/ui/state")
    assert (answer.status_code, answer.json()["error"]["key"]) == (429, "error.api.crowd")
    assert int(answer.headers["retry-after"]) > 0
    assert owner.get("/ui/state").status_code == 200
    assert shared.client().get("/healthz").status_code == 200
    monkeypatch.undo()
    assert guest.get("/ui/state").status_code == 200
