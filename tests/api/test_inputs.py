"""Pictures that are handed in: what is taken, what is refused, what comes back; and what a picture says of itself."""

import io
import time

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.testclient import TestClient

from modules.api.server import MAX_UPLOAD
from modules.errors import ExtensionError
from modules.imaging import metadata
from modules.imaging.infotext import PictureFacts
from modules.schema import GenerationRequest, JobState
from tests.ui.fake_studio import FakeStudio


def png(size: tuple[int, int] = (24, 16), kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "teal").save(data, kind)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_taken_in_and_shown_again(client: TestClient, kind: str):
    given = client.post("/ui/inputs", content=png(kind=kind)).json()
    assert (given["width"], given["height"]) == (24, 16)
    answer = client.get(f"/ui/inputs/{given['id']}")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert Image.open(io.BytesIO(answer.content)).size == (24, 16)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400),
        (png()[:60], 400),
        (b"\x00" * (MAX_UPLOAD + 1), 413),
    ],
    ids=["empty", "svg", "truncated", "too large"],
)
def test_what_is_no_picture_is_refused_in_both_languages(
    client: TestClient, studio: FakeStudio, data: bytes, status: int
):
    before = set(studio.inputs.pictures.folder.glob("*"))
    answer = client.post("/ui/inputs?name=猫.png", content=data)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"en", "zh"}
    if status == 400:
        assert "猫.png" in answer.json()["error"]["en"]
    assert set(studio.inputs.pictures.folder.glob("*")) == before


def test_a_bomb_is_refused_by_its_header(client: TestClient):
    data = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(data, "PNG")
    started = time.monotonic()
    assert client.post("/ui/inputs", content=data.getvalue()).status_code == 413
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("name", ["x", "a" * 64, "..%2f..%2fetc%2fpasswd", "A" * 64])
def test_what_is_not_there(client: TestClient, name: str):
    assert client.get(f"/ui/inputs/{name}").status_code in (400, 404)


def test_another_site_may_hand_nothing_in(client: TestClient):
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/ui/inputs", content=png(), headers=headers).status_code == 403
    assert client.post("/ui/inputs", content=png(), headers={"host": "evil"}).status_code == 421


def test_sent_from_ones_own_pictures_only(client: TestClient, studio: FakeStudio):
    client.cookies.clear()
    client.get("/")
    job = studio.submit(
        GenerationRequest(prompt="red", steps=1), client.cookies["noisette_visitor"]
    )
    end = time.monotonic() + 60
    while studio.job(job.id).state is not JobState.DONE:
        assert time.monotonic() < end
        time.sleep(0.02)
    number = studio.job(job.id).pictures[0].id
    given = client.post(f"/ui/inputs/from/{number}").json()
    with Image.open(studio.picture_file(number)) as made:
        assert studio.inputs.pictures.open(given["id"]).tobytes() == made.convert("RGB").tobytes()
    client.cookies.clear()
    assert client.post(f"/ui/inputs/from/{number}").status_code == 400
    assert client.post("/ui/inputs/from/xyz").status_code == 400


def test_what_a_picture_says_of_itself(client: TestClient):
    request = GenerationRequest(
        prompt="a cat\nNegative prompt: no", negative_prompt="dog", steps=7, seed=3,
        width=64, height=64, sampler="euler", cfg_scale=4,
    )  # fmt: skip
    text = metadata.infotext(request, index=0, facts=PictureFacts(model="m", sampler="Euler"))
    data = metadata.encode(Image.new("RGB", (8, 8)), request, text, job="j", index=0)
    said = client.post("/ui/read", content=data).json()
    assert said["exact"] is True
    assert GenerationRequest.model_validate(said["request"]) == request
    assert said["prompt"] == request.prompt
    assert said["parameters"]["Steps"] == "7"
    assert said["infotext"] == text


def test_what_cannot_be_sent_to_the_page_is_not_said(client: TestClient):
    info = PngInfo()
    info.add_text("noisette", r'{"receipts": {"freeu": "\ud800"}, "request": {"prompt": "\udfff"}}')
    info.add_text("parameters", "a cat")
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "PNG", pnginfo=info)
    answer = client.post("/ui/read", content=data.getvalue())
    assert answer.status_code == 200
    assert (answer.json()["prompt"], answer.json()["receipts"]) == ("a cat", None)


def test_a_picture_that_says_nothing(client: TestClient):
    said = client.post("/ui/read", content=png()).json()
    assert (said["infotext"], said["request"], said["parameters"]) == (None, None, {})
    assert client.post("/ui/read", content=b"no picture").status_code == 400


def test_tokens(client: TestClient):
    assert client.post("/ui/tokens", json={"text": "a red apple"}).json() == {"used": 3, "room": 75}
    assert client.post("/ui/tokens", json={"text": "x" * 100_001}).status_code == 422
    assert client.post("/ui/tokens", json={"text": "x", "what": 1}).status_code == 422


def test_finished_pictures_are_queued_for_extensions(client: TestClient, studio: FakeStudio):
    given = client.post("/ui/inputs", content=png()).json()
    assert given["infotext"] == ""
    body = {"pictures": [{"image": given["id"], "name": "a.png"}], "extras": {}}
    answer = client.post("/ui/postprocess", json=body)
    assert answer.status_code == 200
    (number,) = answer.json()["jobs"]
    assert studio.job(number).request.postprocess.name == "a.png"
    assert client.post("/ui/postprocess", json={"pictures": [], "extras": {}}).status_code == 422


def foreign(text: str) -> bytes:
    """A picture of another program, which has the text alone."""
    data, info = io.BytesIO(), PngInfo()
    info.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(data, "PNG", pnginfo=info)
    return data.getvalue()


def test_extensions_read_what_is_theirs_in_a_text(
    client: TestClient, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
):
    data = foreign("a cat\nSteps: 7, Seed: 3, Curve: 2, Else: 1")
    options = {"curves": {"enabled": True, "amount": 2}}
    monkeypatch.setattr(studio, "read_parameters", lambda given: (options, {"Curve"}))
    said = client.post("/ui/read", content=data).json()
    assert (said["exact"], said["request"]["extras"]) == (False, options)
    assert (said["unused"], said["problem"]) == (["Else: 1"], None)

    def broken(given):
        raise ExtensionError("error.extension.failed", extension="curves", why="no")

    monkeypatch.setattr(studio, "read_parameters", broken)
    said = client.post("/ui/read", content=data).json()
    assert (said["prompt"], said["request"]["steps"]) == ("a cat", 7)
    assert said["unused"] == ["Curve: 2", "Else: 1"]
    assert all("curves" in said["problem"][language] for language in ("en", "zh"))
