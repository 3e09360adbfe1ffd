"""A visitor's draft is the visitor's alone, and comes back to a browser that has none."""

import json

import pytest
from starlette.testclient import TestClient

from modules.services.drafts import MAX_BYTES
from tests.ui.fake_studio import FakeStudio

TYPED = {"prompt": "a draft of mine", "steps": 33}


@pytest.fixture
def visitor(client: TestClient) -> str:
    client.cookies.clear()
    client.get("/")
    return client.cookies["noisette_visitor"]


def restored(client: TestClient, draft: object) -> str:
    names = {each["api_name"]: each for each in client.get("/config").json()["dependencies"]}
    assert len(names["restore"]["inputs"]) == 1
    answer = client.post("/gradio_api/run/restore", json={"data": [draft]})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_it_comes_back_where_the_browser_has_none(
    client: TestClient, studio: FakeStudio, visitor: str
):
    assert client.put("/ui/drafts/txt2img", json=TYPED).status_code == 204
    assert studio.drafts.load(visitor, "txt2img") == TYPED
    assert TYPED["prompt"] in restored(client, {})
    assert TYPED["prompt"] not in restored(client, {"prompt": "newer"})
    client.cookies.clear()
    client.get("/")
    assert TYPED["prompt"] not in restored(client, {})


def test_it_is_forgotten(client: TestClient, studio: FakeStudio, visitor: str):
    client.put("/ui/drafts/txt2img", json=TYPED)
    assert client.delete("/ui/drafts/txt2img").status_code == 204
    assert studio.drafts.load(visitor, "txt2img") == {}
    assert TYPED["prompt"] not in restored(client, {})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no json", 400),
        (b"[1]", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (json.dumps({"prompt": "x" * MAX_BYTES}).encode(), 413),
        (b'"' + b"x" * 3 * MAX_BYTES, 413),
    ],
)
def test_what_is_no_draft_is_refused(
    client: TestClient, studio: FakeStudio, visitor: str, body: bytes, status: int
):
    client.put("/ui/drafts/txt2img", json=TYPED)
    assert client.put("/ui/drafts/txt2img", content=body).status_code == status
    assert studio.drafts.load(visitor, "txt2img") == TYPED


@pytest.mark.parametrize("tab", ["..%2f..", "X", "a" * 41, "%00"])
def test_only_names_of_tabs(client: TestClient, visitor: str, tab: str):
    assert client.put(f"/ui/drafts/{tab}", json=TYPED).status_code == 404


def test_whoever_has_no_cookie_keeps_nothing(client: TestClient, studio: FakeStudio):
    client.cookies.clear()
    assert client.put("/ui/drafts/txt2img", json=TYPED).status_code == 404
    assert client.delete("/ui/drafts/txt2img").status_code == 404


def test_not_from_another_site(client: TestClient, visitor: str):
    answer = client.put(
        "/ui/drafts/txt2img", json=TYPED, headers={"origin": "https://evil.example"}
    )
    assert answer.status_code == 403


def test_cleared_fields_hold_what_a_new_visitor_finds(client: TestClient, visitor: str):
    body = {"data": [], "event_data": {"what": "defaults"}}
    answer = client.post("/gradio_api/run/recall", json=body).json()
    *values, told = answer["data"]
    assert (told["kind"], told["what"], told["model"]) == ("recalled", "defaults", "pocket")
    assert values[0] == ""  # the prompt
    assert 20 in values  # the card's steps
