"""Who is let in, and what every answer carries."""

import asyncio
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from modules.api.guard import Guard
from tests.api.conftest import HOST

SUBMIT = "/gradio_api/run/txt2img"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost:7860", 200),
        ("LocalHost", 200),
        ("[::1]:7860", 200),
        ("127.0.0.1:9999", 200),  # a tunnel may end on another port; the name decides
        ("evil.example", 421),
        ("127.0.0.1.evil.example:7860", 421),
        ("192.168.1.5:7860", 421),  # not listened on
        ("", 421),
        ("a@evil.example", 421),
        ("[::1", 421),
    ],
)
def test_only_our_own_names(client: TestClient, host: str, status: int):
    assert client.get("/healthz", headers={"host": host}).status_code == status


def test_the_refusal_says_where_to_go(client: TestClient):
    answer = client.get("/", headers={"host": "evil.example"})
    assert "evil.example" in answer.text
    assert "http://127.0.0.1:7860/" in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # curl
        ({"origin": f"http://{HOST}"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 403),  # another program on this machine
        ({"origin": f"http://{HOST}.evil.example"}, 403),
        ({"origin": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_changes_come_from_our_own_page(client: TestClient, headers: dict[str, str], status: int):
    answer = client.post("/gradio_api/run/last_seed", json={"data": []}, headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/gradio_api/upload", "/upload", "/gradio_api/upload?upload_id=1"]
)
def test_nobody_puts_files_into_gradios_folder(client: TestClient, data_dir: Path, path: str):
    answer = client.post(path, files={"files": ("x.png", b"x")})
    assert answer.status_code == 404
    cache = data_dir / "data" / "gradio"
    assert [file for file in cache.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
    ],
)
def test_other_sites_may_link_but_not_embed(client: TestClient, headers, status):
    assert client.get("/ui/state", headers=headers).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/gradio_api/file=https://example.org/x",
        "/gradio_api/file%3Dhttp://127.0.0.1:1/x",
        "/gradio_api/FILE=HTTP://127.0.0.1:1/x",
        "/file=http://127.0.0.1:1/x",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/monitoring/summary",
        "/gradio_api/runs",
        "/gradio_api/upload_progress?upload_id=1",
        "/gradio_api/deep_link",
        "/gradio_api/vibe-editor",
        "/gradio_api/call/v2/anything",
        "/gradio_api/dev/reload",
        "/openapi.json",
        "/docs",
    ],
)
def test_side_doors_are_shut(client: TestClient, path: str):
    assert client.get(path).status_code == 404


def test_every_answer_carries_the_headers(client: TestClient):
    for path in ("/", "/healthz", "/nothing", "/ui/state", "/theme.css"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["referrer-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "http:" not in policy


def test_a_body_has_a_limit():
    async def swallow(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = Guard(swallow, host="127.0.0.1", port=7860, max_body=1000)
    client = TestClient(guard, base_url=f"http://{HOST}")
    assert client.post("/", content=b"x" * 1000).status_code == 200
    assert client.post("/", content=b"x" * 1001).status_code == 413
    # and one that does not say how long it is
    assert client.post("/", content=iter([b"x" * 600] * 3)).status_code == 413
    assert client.post("/", content=b"", headers={"content-length": "-5"}).status_code == 413


def test_the_limit_holds_in_the_whole_application(client: TestClient):
    body = (b"x" * 2**20 for _ in range(70))
    answer = client.post("/gradio_api/run/last_seed", content=body)
    assert answer.status_code == 413
    assert "65 MB" in answer.text


def test_two_host_headers_are_refused():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"host", b"127.0.0.1"), (b"host", b"evil.example")],
    }
    guard = Guard(app, host="127.0.0.1", port=7860, max_body=10)
    asyncio.run(guard(scope, receive, send))
    assert seen == []
    assert sent[0]["status"] == 421


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        ([(b"host", b"127.0.0.1:7860"), (b"origin", b"http://127.0.0.1:7860")], True),
        ([(b"host", b"127.0.0.1:7860"), (b"origin", b"https://evil.example")], False),
        ([(b"host", b"evil.example"), (b"origin", b"http://evil.example")], False),
    ],
)
def test_websockets_too(headers: list[tuple[bytes, bytes]], welcome: bool):
    reached, sent = [], []

    async def app(scope, receive, send):
        reached.append(scope)

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/gradio_api/queue/join", "headers": headers}
    guard = Guard(app, host="127.0.0.1", port=7860, max_body=10)
    asyncio.run(guard(scope, receive, send))
    assert bool(reached) is welcome
    assert welcome or sent == [{"type": "websocket.close", "code": 1008}]


def test_listening_everywhere_takes_addresses_but_no_foreign_names():
    guard = Guard(lambda *_: None, host="0.0.0.0", port=7860, max_body=10, names=["studio.lan"])
    assert guard._reach.is_ours("192.168.1.5:7860")
    assert guard._reach.is_ours("[fe80::1]:7860")
    assert guard._reach.is_ours("studio.lan:7860")
    assert not guard._reach.is_ours("evil.example:7860")
    assert not guard._reach.is_ours("127.0.0.1:7860.evil.example")
    assert not guard._reach.is_ours("localhost:99999")
