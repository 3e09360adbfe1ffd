"""Jobs over `/api/v2`: one's own, in the same queue as everybody's."""

import json
import time

import pytest

from modules.schema import GenerationRequest, JobState
from tests.api.callers import BERT
from tests.services.fakes import colour

ASKED = {"prompt": "a cat", "seed": 5}


def events(text):
    """Names and data of a stream."""
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            yield lines["event"], json.loads(lines["data"])


def test_submitted_done_and_looked_at(here):
    client = here.client()
    answer = client.post("/jobs", json=ASKED)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/api/v2/jobs/{job['id']}"
    assert (job["state"], job["mine"], job["request"]["steps"]) == ("queued", True, 3)
    assert job["progress"]["position"] == 0
    here.house.studio.start()
    here.house.finish(job["id"])
    done = client.get(f"/jobs/{job['id']}").json()
    assert (done["state"], done["progress"]) == ("done", None)
    (picture,) = done["pictures"]
    assert picture["seed"] == 5
    file = client.get(f"/pictures/{picture['id']}/file")
    assert file.headers["content-type"] == "image/png"
    assert "sandbox" in file.headers["content-security-policy"]
    assert set(done) == set(job)  # and nothing of the disk or of who asked:
    assert not {"client", "uid", "path"} & (set(done) | set(picture))


def test_the_page_and_the_api_share_one_queue(here):
    """Whatever submits: the rows are the same but for who asked."""
    over_api = here.client().post("/jobs", json=ASKED).json()["id"]
    by_hand = here.house.studio.submit(GenerationRequest(**ASKED), "cli").id
    assert by_hand == over_api + 1
    assert here.house.studio.job(over_api).request == here.house.studio.job(by_hand).request
    shown = here.client().get("/jobs").json()["jobs"]
    assert [job["id"] for job in shown] == [by_hand, over_api]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"steps": 0}, "steps", "1 or more"),
        ({"steps": "many"}, "steps", "whole number"),
        ({"steps": 5000}, "steps", "5000"),
        ({"steps": True}, "steps", "whole number"),
        ({"hires": {"scale": True}}, "hires.scale", "number"),
        ({"model": "nothing"}, None, "nothing"),
        ({"nonsense": 1}, "nonsense", "nothing of that name"),
        ({"hires": {"scale": "x"}}, "hires.scale", "number"),
        ({"img2img": {"image": "0" * 64}}, None, "000000"),
        ({"prompt": "x" * 40_000}, "prompt", "40000"),
        ([1], None, ""),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_no_job(here, body, field, words):
    answer = here.client().post("/jobs", json=body)
    assert answer.status_code in (404, 422)
    error = answer.json()["error"]
    assert words in error["message"] and error["messages"].keys() == {"en", "zh"}
    assert field is None or error["field"] == field
    assert here.house.studio.jobs() == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null", b'{"seed": 1e400}', b'"x"'])
def test_what_is_no_json_is_refused(here, body):
    answer = here.client().post("/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (r'{"prompt": "a \ud83d cat"}', "prompt"),
        (r'{"hires": {"negative_prompt": "\udc00"}}', "hires.negative_prompt"),
        (r'{"extras": {"freeu": {"b1": "\ud800"}}}', "extras"),
    ],
)
def test_half_a_character_is_refused(here, body, field):
    answer = here.client().post("/jobs", content=body, headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert answer.status_code == 422 and error["field"] == field
    assert "half a character (U+D" in error["message"] and "一半" in error["messages"]["zh"]
    assert here.house.studio.jobs() == []


def test_numbers_may_be_texts_and_a_place_is_no_boolean(here):
    job = here.client().post("/jobs", json={"prompt": "a", "steps": "3", "tiling": "off"}).json()
    assert job["request"]["steps"] == 3
    answer = here.client().post(f"/jobs/{job['id']}/move", json={"place": True})
    assert answer.status_code == 422 and answer.json()["error"]["field"] == "place"


def test_others_jobs_are_not_there(here):
    number = here.client().post("/jobs", json=ASKED).json()["id"]
    other = here.client(BERT, peer="10.0.0.9")
    assert other.get("/jobs").json()["jobs"] == []
    for method, path in (
        ("GET", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("GET", "/preview"),
        ("GET", "/events"),
    ):
        answer = other.request(method, f"/jobs/{number}{path}")
        assert (answer.status_code, answer.json()["error"]["key"]) == (404, "error.job.unknown")
    assert other.post(f"/jobs/{number}/move", json={"place": 0}).status_code == 404
    assert other.delete("/jobs").json() == {"cancelled": 0}
    assert here.house.studio.job(number).state is JobState.QUEUED
    assert other.get("/jobs?all=true").status_code == 403
    assert other.get(f"/jobs/{number}?all=true").status_code == 403


def test_the_owner_sees_and_cancels_everybodys(here):
    number = here.client().post("/jobs", json=ASKED).json()["id"]
    owner = here.client(BERT)
    shown = owner.get("/jobs?all=true").json()["jobs"]
    assert [(job["id"], job["mine"]) for job in shown] == [(number, False)]
    assert owner.post(f"/jobs/{number}/cancel?all=true").json()["state"] == "cancelled"


def test_a_waiting_job_is_moved(here):
    client = here.client()
    jobs = [client.post("/jobs", json=ASKED).json()["id"] for _ in range(3)]
    moved = client.post(f"/jobs/{jobs[2]}/move", json={"place": 0}).json()
    assert moved["progress"]["position"] == 0
    order = client.get("/jobs?oldest_first=true").json()["jobs"]
    assert [job["id"] for job in order] == [jobs[2], jobs[0], jobs[1]]
    here.house.studio.start()
    done = [here.house.finish(number) for number in jobs]
    assert sorted(done, key=lambda job: job.started)[0].id == jobs[2]
    answer = client.post(f"/jobs/{jobs[0]}/move", json={"place": 0})
    assert (answer.status_code, answer.json()["error"]["key"]) == (409, "error.job.not_waiting")
    assert client.post(f"/jobs/{jobs[0]}/move", json={"place": -1}).status_code == 422


def test_cancelled_and_done_again(here):
    client = here.client()
    first, second = (client.post("/jobs", json=ASKED).json()["id"] for _ in range(2))
    assert client.post(f"/jobs/{first}/cancel").json()["state"] == "cancelled"
    assert client.delete("/jobs").json() == {"cancelled": 1}
    assert client.get("/jobs?state=cancelled").json()["counts"]["cancelled"] == 2
    assert client.post(f"/jobs/{second}/retry").json()["state"] == "queued"
    assert client.post(f"/jobs/{second}/retry").status_code == 409


def test_followed_from_waiting_to_the_end(here):
    client = here.client()
    here.engine.seconds = 0.3
    number = client.post("/jobs", json={**ASKED, "steps": 4, "batch_count": 2}).json()["id"]
    here.house.studio.start()
    answer = client.get(f"/jobs/{number}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = list(events(answer.text))
    names = [name for name, _ in told]
    assert names[0] == "progress" and names[-1] == "end" and names.count("picture") == 2
    assert "preview" in names
    fractions = [data["fraction"] for name, data in told if name == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) > 2
    end = told[-1][1]
    assert end["state"] == "done" and len(end["pictures"]) == 2
    # whoever comes later is told how it ended
    again = list(events(client.get(f"/jobs/{number}/events?previews=false").text))
    assert [name for name, _ in again] == ["progress", "picture", "picture", "end"]


def test_a_stream_without_its_job_ends(here, monkeypatch):
    from modules.errors import StorageError

    number = here.client().post("/jobs", json=ASKED).json()["id"]

    def refuse(job_id):
        raise StorageError("error.storage.full", path="x")

    monkeypatch.setattr(here.house.store, "positions", refuse)
    monkeypatch.setattr(here.house.studio, "progress", refuse)
    (told,) = events(here.client().get(f"/jobs/{number}/events").text)
    assert told[0] == "error" and "full" in told[1]["error"]["message"]


def test_the_gallery_is_searched(here):
    client = here.client()
    here.house.studio.start()
    asked = [("a red apple", 1), ("a red fish", 2), ("100% blue_fish", 3)]
    jobs = [client.post("/jobs", json={"prompt": p, "seed": s}).json()["id"] for p, s in asked]
    for number in jobs:
        here.house.finish(number)

    def seeds(**query):
        return [one["seed"] for one in client.get("/pictures", params=query).json()["pictures"]]

    assert seeds() == [3, 2, 1]
    assert seeds(text="RED") == [2, 1] and seeds(text="fish red") == [2]
    assert seeds(text="%") == [3] and seeds(text="_") == [3] and seeds(text="'") == []
    assert seeds(seed=2) == [2] and seeds(job=jobs[0]) == [1]
    assert seeds(since=time.time() + 60) == [] and seeds(until=time.time() + 60) == [3, 2, 1]
    page = client.get("/pictures?limit=2").json()
    assert (len(page["pictures"]), page["more"]) == (2, True)
    assert client.get("/pictures?limit=2&offset=2").json()["more"] is False
    other = here.client(BERT, peer="10.0.0.9")
    assert other.get("/pictures").json()["pictures"] == []
    for path in ("", "/file"):
        answer = other.get(f"/pictures/{page['pictures'][0]['id']}{path}")
        assert (answer.status_code, answer.json()["error"]["key"]) == (404, "error.picture.unknown")
    with_file = here.house.studio.picture_file(page["pictures"][0]["id"])
    assert colour(GenerationRequest(seed=3), 0)[0] == 3 and with_file.is_file()
