"""The document, the JSON that the page polls, and the port."""

import asyncio
import re
import socket
import threading
import time
import urllib.request

import pytest
from starlette.testclient import TestClient

from modules.api.server import listen, serve
from modules.errors import UserError
from modules.schema import GenerationRequest, JobState
from tests.ui.fake_studio import FakeStudio


def visitor(client: TestClient) -> str:
    client.cookies.clear()
    client.get("/")
    return client.cookies["noisette_visitor"]


def finished(studio: FakeStudio, job_id: int):
    end = time.monotonic() + 60
    while not studio.job(job_id).state.finished:
        assert time.monotonic() < end
        time.sleep(0.02)
    return studio.job(job_id)


def test_healthz(client: TestClient):
    assert client.get("/healthz").json() == {"status": "ok", "version": "0.1.0"}


def test_the_document_has_our_head_and_names_no_other_host(client: TestClient):
    document = client.get("/").text
    assert "<title>Noisette</title>" in document
    assert "./ui/script.js?v=" in document
    assert "Gradio</title>" not in document
    assert not re.findall(r"""(?:src|href|content)="https?://(?!127\.0\.0\.1)[^"]+""", document)


def test_the_files_of_the_page_may_be_kept(client: TestClient):
    document = client.get("/").text
    for name in re.findall(r'"\./(ui/[^"]+[?]v=\w+)"', document):
        answer = client.get("/" + name.replace("&amp;", "&"))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/ui/shell.py").status_code == 404
    assert client.get("/ui/..%2fshell.py").status_code == 404


def test_a_visitor_stays_the_same(client: TestClient):
    first = visitor(client)
    assert re.fullmatch("[0-9a-f]{32}", first)
    answer = client.get("/")
    assert client.cookies["noisette_visitor"] == first
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    for foreign in ('other={"a":1}', "a=\u00e9", "a[b]=c; x,y=1", "a(b=c", "=;;=", '"'):
        header = f"{foreign}; noisette_visitor={first}".encode()
        client.cookies.clear()
        renewed = client.get("/", headers=[(b"cookie", header)])
        assert renewed.status_code == 200
        assert f"noisette_visitor={first};" in renewed.headers["set-cookie"], foreign
    client.cookies.set("noisette_visitor", "../../etc")
    assert "../" not in client.get("/").headers["set-cookie"]
    client.cookies.clear()


def values(client: TestClient, **given: object) -> list[object]:
    """What the endpoint `txt2img` takes: what it says of itself, but for the values given by name."""
    endpoint = client.get("/gradio_api/info").json()["named_endpoints"]["/txt2img"]
    known = {one["parameter_name"]: one.get("parameter_default") for one in endpoint["parameters"]}
    assert given.keys() <= known.keys()
    return list((known | given).values())


def test_submitting_over_gradios_api_is_watched_over_ours(client: TestClient, studio: FakeStudio):
    visitor(client)
    data = values(client, prompt="a red apple", width=128, height=128, seed=5, steps=2)
    answer = client.post("/gradio_api/run/txt2img", json={"data": data}).json()
    told = answer["data"][0]
    assert told["kind"] == "submitted"
    job = finished(studio, told["job"])
    assert job.request.seed == 5
    assert job.request.steps == 2
    state = client.get("/ui/state").json()
    assert state["job"]["id"] == job.id
    assert state["job"]["state"] == "done"
    assert state["job"]["pictures"][0]["prompt"] == "a red apple"
    assert client.get(f"/ui/state?since={state['version']}").json().keys() == {"run", "version"}
    lists = client.get("/ui/lists").json()
    assert [picture["seed"] for picture in lists["pictures"]] == [5]


def test_settings_are_taken_from_own_pictures_only(client: TestClient, studio: FakeStudio):
    visitor(client)
    other = finished(
        studio, studio.submit(GenerationRequest(prompt="secret wish", steps=1), "somebody").id
    )
    body = {
        "data": [],
        "event_data": {"picture": other.pictures[0].id, "what": "all"},
    }
    answer = client.post("/gradio_api/run/recall", json=body)
    assert "secret wish" not in answer.text
    assert answer.json()["data"][-1]["kind"] == "error"


def test_a_refusal_comes_in_both_languages(client: TestClient):
    data = values(client, prompt="x" * 40_000)
    told = client.post("/gradio_api/run/txt2img", json={"data": data}).json()["data"][0]
    assert told["kind"] == "error"
    assert told["text"]["en"].startswith("Prompt has 40000 characters")
    assert told["text"]["zh"].startswith("“提示词”有 40000 个字符")


def test_other_visitors_learn_nothing(client: TestClient, studio: FakeStudio):
    job = studio.submit(GenerationRequest(prompt="secret wish", steps=2), "somebody")
    visitor(client)
    seen = client.get("/ui/state").text + client.get("/ui/lists").text
    assert "secret" not in seen
    assert client.post(f"/ui/jobs/{job.id}/cancel").status_code == 404
    finished(studio, job.id)
    assert client.get("/ui/state").json()["job"] is None
    assert studio.job(job.id).state is JobState.DONE


def test_skip_leaves_out_one_batch_and_goes_on(client: TestClient, studio: FakeStudio):
    studio.seconds_per_step = 0.1
    job = studio.submit(GenerationRequest(prompt="three", steps=5, batch_count=3), visitor(client))
    while studio.job(job.id).state is JobState.QUEUED:
        time.sleep(0.02)
    assert client.post(f"/ui/jobs/{job.id}/cancel?batch=true").json() == {"state": "running"}
    assert finished(studio, job.id).state is JobState.DONE
    assert len(studio.job(job.id).pictures) == 2
    other = studio.submit(GenerationRequest(prompt="secret", steps=1), "somebody")
    assert client.post(f"/ui/jobs/{other.id}/cancel?batch=true").status_code == 404
    assert not studio.skips


@pytest.mark.parametrize("number", ["0", "-1", "99999", "9" * 30, "x"])
def test_cancelling_what_is_not_there(client: TestClient, number: str):
    for action in ("cancel", "retry"):
        answer = client.post(f"/ui/jobs/{number}/{action}")
        assert answer.status_code == 404
        assert number[:20] in answer.json()["error"]["zh"]


def test_a_failed_job_is_done_again(client: TestClient, studio: FakeStudio):
    mine = visitor(client)
    job = finished(studio, studio.submit(GenerationRequest(prompt="unlucky", steps=1), mine).id)
    assert job.state is JobState.FAILED
    assert client.post(f"/ui/jobs/{job.id}/retry").json() == {"state": "queued"}
    finished(studio, job.id)
    visitor(client)
    assert client.post(f"/ui/jobs/{job.id}/retry").status_code == 404  # another visitor's


def test_a_job_that_is_done_is_not_done_again(client: TestClient, studio: FakeStudio):
    mine = visitor(client)
    job = finished(studio, studio.submit(GenerationRequest(prompt="x", steps=1), mine).id)
    answer = client.post(f"/ui/jobs/{job.id}/retry")
    assert answer.status_code == 404
    assert "neither failed nor been stopped" in answer.json()["error"]["en"]
    assert studio.job(job.id).state is JobState.DONE


def test_the_page_on_this_machine_shows_what_the_command_line_makes(app, studio: FakeStudio):
    job = finished(studio, studio.submit(GenerationRequest(prompt="typed", steps=1), "cli").id)
    (picture,) = job.pictures
    here = TestClient(app, base_url="http://127.0.0.1:7860", client=("127.0.0.1", 5))
    here.get("/")
    assert here.get("/ui/state").json()["job"]["prompt"] == "typed"
    assert picture.id in [each["id"] for each in here.get("/ui/lists").json()["pictures"]]
    assert here.get(f"/files/picture/{picture.id}").status_code == 200
    body = {"data": [], "event_data": {"picture": picture.id, "what": "all"}}
    assert "typed" in here.post("/gradio_api/run/recall", json=body).text


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("192.168.1.7", {}),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.5"}),
        ("127.0.0.1", {"forwarded": "for=203.0.113.5"}),
        ("127.0.0.1", {"host": "127.0.0.1.nip.example"}),
    ],
)
def test_nobody_else_sees_it(app, studio: FakeStudio, peer: str, headers: dict[str, str]):
    job = finished(studio, studio.submit(GenerationRequest(prompt="typed", steps=1), "cli").id)
    there = TestClient(app, base_url="http://127.0.0.1:7860", client=(peer, 5), headers=headers)
    assert "typed" not in there.get("/ui/lists").text
    assert there.get(f"/files/picture/{job.pictures[0].id}").status_code in (401, 404, 421)


def test_models(client: TestClient):
    found = client.get("/ui/models").json()
    assert list(found["cards"]) == ["pocket", "landscape"]
    assert "a red apple" in found["cards"]["pocket"]["examples"]


def test_a_port_in_use_is_named():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} .* --port"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine():
    with pytest.raises(UserError, match=r"Cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1", 0)


def test_it_answers_when_it_says_so(app):
    said = threading.Event()
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]

        def run() -> None:
            serve(app, sock, said.set)

        threading.Thread(target=run, daemon=True).start()
        assert said.wait(20)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            assert answer.status == 200
            assert answer.headers["server"] is None


def test_ipv6(app):
    try:
        listen("::1", 0).close()
    except UserError:
        pytest.skip("no IPv6 here")
    assert socket.has_ipv6


def test_a_job_that_ends_between_two_looks_is_listed_once(
    client: TestClient, studio: FakeStudio, monkeypatch
):
    who = visitor(client)
    job = studio.submit(GenerationRequest(prompt="a cat", steps=1), who)
    before = studio.store.get(job.id)  # as it waited
    finished(studio, job.id)
    real = studio.jobs

    def late(*args, states=None, **kwargs):
        found = real(*args, states=states, **kwargs)
        return [before] if states is not None and JobState.QUEUED in states else found

    monkeypatch.setattr(studio, "jobs", late)
    lists = client.get("/ui/lists").json()
    assert lists["active"] == [] and [each["id"] for each in lists["past"]] == [job.id]


def test_an_answer_in_two_pieces_is_not_held_back():
    """TCP waits with a second small piece until the first is acknowledged (40 ms), unless it is told not to."""
    found: list[int] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        found.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def meet(taken: socket.socket) -> None:
        async with await asyncio.start_server(greet, sock=taken):
            reader, writer = await asyncio.open_connection(*taken.getsockname())
            assert await reader.read() == b""
            writer.close()

    with listen("127.0.0.1", 0) as taken:
        asyncio.run(meet(taken))
    assert found and found[0]
