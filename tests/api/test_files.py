"""Pictures are served by number, from the outputs folder only, and can do nothing in the browser."""

import io
import time

import pytest
from PIL import Image
from starlette.testclient import TestClient

from modules.schema import GenerationRequest, JobState
from tests.api.conftest import HOST
from tests.ui.fake_studio import FakeStudio


@pytest.fixture(scope="module")
def picture(studio: FakeStudio, client: TestClient):
    client.cookies.clear()
    client.get("/")
    job = studio.submit(
        GenerationRequest(prompt="a red apple, ../../etc “x” 苹果", steps=1, seed=5),
        client.cookies["noisette_visitor"],
    )
    end = time.monotonic() + 60
    while studio.job(job.id).state is not JobState.DONE:
        assert time.monotonic() < end
        time.sleep(0.02)
    return studio.job(job.id).pictures[0]


def test_a_picture(client: TestClient, picture):
    answer = client.get(f"/files/picture/{picture.id}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert Image.open(io.BytesIO(answer.content)).size == (128, 128)


def test_to_take_along(client: TestClient, picture):
    header = client.get(f"/files/picture/{picture.id}?download=1").headers["content-disposition"]
    assert header.startswith(
        "attachment; filename*=utf-8''a-red-apple-etc-x-%E8%8B%B9%E6%9E%9C-5.png"
    )


def test_a_thumbnail_is_small(client: TestClient, picture):
    answer = client.get(f"/files/thumb/{picture.id}")
    assert answer.headers["content-type"] == "image/webp"
    assert max(Image.open(io.BytesIO(answer.content)).size) <= 256


@pytest.mark.parametrize(
    "path",
    [
        "/files/picture/999999",
        "/files/picture/0",
        "/files/picture/-1",
        "/files/picture/99999999999999999999999",
        "/files/picture/..%2f..%2fetc%2fpasswd",
        "/files/picture/../../etc/passwd",
        "/files/picture/%2fetc%2fpasswd",
        "/files/picture/x%00.png",
        "/files/picture/abc",
        "/files/picture/%EF%BC%91",
        "/files/thumb/abc",
        "/files/picture/C:%5CWindows%5Cwin.ini",
        "/files/picture/" + "a" * 300,
        "/files/thumb/999999",
        "/files/",
        "/files",
    ],
)
def test_nothing_else(client: TestClient, path: str):
    assert client.get(path).status_code == 404


def test_somebody_elses_picture_is_not_served(app, picture):
    """Numbers are easily guessed."""
    with TestClient(app, base_url=f"http://{HOST}") as stranger:
        assert stranger.get(f"/files/picture/{picture.id}").status_code == 404
        assert stranger.get(f"/files/thumb/{picture.id}").status_code == 404
        stranger.get("/")
        assert stranger.get(f"/files/picture/{picture.id}").status_code == 404


@pytest.mark.parametrize("number", ["999999", "abc", "9" * 30])
def test_no_preview_is_no_error(client: TestClient, number: str):
    assert client.get(f"/files/preview/{number}").status_code == 204


def test_a_picture_that_was_damaged_has_no_thumbnail(
    client: TestClient, studio: FakeStudio, picture
):
    file = studio.outputs.folder / picture.path
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    try:
        assert client.get(f"/files/thumb/{picture.id}").status_code == 404
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("name", ["page.html", "page.svg", "link.png", "gone.png"])
def test_what_is_no_picture_of_ours_is_not_served(
    client: TestClient, studio: FakeStudio, picture, name: str
):
    """Even if the database were to name it."""
    root = studio.outputs.folder
    for other in ("page.html", "page.svg"):
        (root / other).write_text("<script>alert(1)</script>")
    if not (root / "link.png").is_symlink():
        (root / "link.png").symlink_to("/etc/passwd")
    studio.store._connection.execute(
        "UPDATE pictures SET path = ? WHERE id = ?", (name, picture.id)
    )
    try:
        assert client.get(f"/files/picture/{picture.id}").status_code == 404
        assert client.get(f"/files/thumb/{picture.id}").status_code == 404
    finally:
        studio.store._connection.execute(
            "UPDATE pictures SET path = ? WHERE id = ?", (picture.path.as_posix(), picture.id)
        )
